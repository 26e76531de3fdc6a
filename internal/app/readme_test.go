package app

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The curl examples of the README work as they are printed.
func TestTheReadmesExamplesWork(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on the PATH")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	h := startHouse(t, houseOptions{})
	ran := 0
	for _, block := range strings.Split(string(readme), "```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for _, command := range strings.Split(block, "\n\n") {
			if !strings.HasPrefix(command, "curl ") {
				continue
			}
			ran++
			command = strings.ReplaceAll(strings.TrimSpace(command), "http://127.0.0.1:8080", h.URL())
			out, err := exec.CommandContext(t.Context(), "sh", "-c", command+" --silent --show-error --fail").CombinedOutput()
			if err != nil || len(out) == 0 || strings.Contains(string(out), `"error":`) {
				t.Errorf("%s\n%v\n%s", command, err, out)
			}
		}
	}
	if ran < 4 {
		t.Errorf("found %d curl examples in the README", ran)
	}
}

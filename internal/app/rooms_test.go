package app

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms lists the packages from the bottom up: each may import, its tests
// included, only what stands before it.
func rooms() []string {
	return []string{
		"internal/bubble", "migrations", "internal/llm", "internal/record", "internal/price", "internal/redact", "internal/wire", "internal/tokens",
		"internal/sim", "internal/traffic", "internal/provider", "internal/store", "internal/router", "internal/replay", "internal/monitor",
		"internal/anomaly", "internal/alerts", "internal/api", "web", "internal/config", "internal/app", "internal/faults", "internal/faultsim", "cmd/breakwater", "cmd/bench",
	}
}

func TestArrowsGoOneWay(t *testing.T) {
	list := exec.Command("go", "list", "-f",
		`{{.ImportPath}}:{{join .Imports ","}},{{join .TestImports ","}},{{join .XTestImports ","}}`, "breakwater/...")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	order := rooms()
	for line := range strings.Lines(string(out)) {
		path, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		room := strings.TrimPrefix(path, "breakwater/")
		at := slices.Index(order, room)
		if at < 0 {
			t.Errorf("%s has no place in the order of rooms", room)
			continue
		}
		for _, imported := range strings.Split(imports, ",") {
			other, ours := strings.CutPrefix(imported, "breakwater/")
			if ours && other != room && slices.Index(order, other) >= at {
				t.Errorf("%s imports %s, which does not stand before it", room, other)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for library, rooms := range map[string][]string{
		"github.com/gin-gonic/gin":                       {"internal/api", "web", "internal/app"},
		"github.com/sony/gobreaker/v2":                   {"internal/router"},
		"github.com/mattn/go-sqlite3":                    {"internal/store"},
		"github.com/slack-go/slack":                      {"internal/alerts"},
		"github.com/wneessen/go-mail":                    {"internal/alerts"},
		"github.com/ollama/ollama/api":                   {"internal/provider"},
		"database/sql":                                   {"internal/store"},
		"github.com/spf13/cobra":                         {"cmd/breakwater"},
		"go.yaml.in/yaml/v3":                             {"internal/config"},
		"github.com/pressly/goose/v3":                    {"internal/store"},
		"github.com/prometheus/client_golang/prometheus": {"internal/monitor", "internal/app"},
	} {
		out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports ","}}`, "breakwater/...").Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for line := range strings.Lines(string(out)) {
			path, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
			room := strings.TrimPrefix(path, "breakwater/")
			if slices.Contains(strings.Split(imports, ","), library) && !slices.Contains(rooms, room) {
				t.Errorf("%s imports %s, which is for %v", room, library, rooms)
			}
		}
	}
}

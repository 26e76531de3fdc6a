package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one of the compared servers.
type process struct {
	name string
	url  string
	cmd  *exec.Cmd
}

// servers are the compared ones and the upstream behind them.
type servers struct {
	upstream, proxy, breakwater *process
	client                      *http.Client
	dir                         string
}

// start starts all servers.
func start(ctx context.Context, profile string) (*servers, error) {
	dir, err := os.MkdirTemp("", "breakwater-bench")
	if err != nil {
		return nil, err
	}
	s := &servers{dir: dir, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 4096, DisableCompression: true,
	}}}
	if s.upstream, err = spawn(ctx, "upstream"); err == nil {
		s.proxy, err = spawn(ctx, "proxy", s.upstream.url)
	}
	if err == nil {
		s.breakwater, err = spawn(ctx, "breakwater", s.upstream.url, filepath.Join(dir, "bench.db"), profile)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// stop ends what was started. Breakwater writes its profiles then.
func (s *servers) stop() {
	for _, p := range []*process{s.breakwater, s.proxy, s.upstream} {
		if p != nil {
			p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
			p.cmd.Wait()                          // as it likes
		}
	}
	os.RemoveAll(s.dir) // a temporary folder; nothing depends on it
}

// spawn starts this program again as a server and waits for its address.
func spawn(ctx context.Context, name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"serve", name}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start", name), cmd.Wait())
	}
	return &process{name: name, url: strings.TrimSpace(line), cmd: cmd}, nil
}

// compare measures the three servers in turn, and gives the medians of each.
func (s *servers) compare(ctx context.Context, w workload, callers, rounds int, length time.Duration) ([]measured, error) {
	all := []*process{s.upstream, s.proxy, s.breakwater}
	results := make([][]measured, len(all))
	for round := -1; round < rounds; round++ { // the first one warms up
		for i, p := range all {
			allocs := s.allocs(p) // which costs CPU time itself
			cpu := p.cpu()
			m, answers, err := load(ctx, s.client, p.url, w, callers, length)
			if err != nil {
				return nil, err
			}
			m.cpu = (p.cpu() - cpu) / time.Duration(answers)
			m.resident = p.memory("VmRSS:")
			m.allocs = (s.allocs(p) - allocs) / float64(answers)
			if round >= 0 {
				results[i] = append(results[i], m)
			}
		}
	}
	medians := make([]measured, len(all))
	for i, r := range results {
		medians[i] = median(r)
	}
	return medians, nil
}

// cpu gives the CPU time that the process has used, user and system; see
// proc_pid_stat(5), fields 14 and 15, in hundredths of a second.
func (p *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory gives one of the process's figures of memory, in MiB: VmRSS is what is
// resident, VmHWM the most that ever was; see proc_pid_status(5).
func (p *process) memory(figure string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, figure); ok {
			kB, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 64)
			return kB / 1024
		}
	}
	return 0
}

// allocs gives how many objects a server has allocated since its start, as its
// metrics tell; 0 where it has none.
func (s *servers) allocs(p *process) float64 {
	resp, err := s.client.Get(p.url + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "go_memstats_mallocs_total "); ok {
			n, _ := strconv.ParseFloat(v, 64)
			return n
		}
	}
	return 0
}

// memory writes what the two in between have in memory.
func (s *servers) memory(w io.Writer) {
	fmt.Fprintln(w)
	for _, p := range []*process{s.proxy, s.breakwater} {
		fmt.Fprintf(w, "memory of %s: %.1f MiB now, %.1f at most\n", p.name, p.memory("VmRSS:"), p.memory("VmHWM:"))
	}
}

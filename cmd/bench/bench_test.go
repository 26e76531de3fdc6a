package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestEveryWorkloadIsAnsweredWhole(t *testing.T) {
	direct := httptest.NewServer(upstream())
	defer direct.Close()
	through := httptest.NewServer(proxy(direct.URL))
	defer through.Close()
	for _, w := range workloads() {
		for _, url := range []string{direct.URL, through.URL} {
			m, answers, err := load(t.Context(), http.DefaultClient, url, w, 2, time.Millisecond)
			if err != nil || answers < 1 || m.p50 <= 0 || m.first <= 0 || m.p99 < m.p50 {
				t.Errorf("%s: %d answers, %+v, %v", w.name, answers, m, err)
			}
		}
	}
}

func TestABrokenAnswerEndsTheRun(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"cut":   func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"half":`) },
		"error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusBadGateway) },
	} {
		s := httptest.NewServer(answer)
		if _, _, err := load(t.Context(), s.Client(), s.URL, workloads()[0], 1, time.Millisecond); err == nil {
			t.Errorf("an answer that is %s passed", name)
		}
		s.Close()
	}
}

func TestMedianIsOfEachFigure(t *testing.T) {
	m := median([]measured{{perSecond: 1, p50: 9}, {perSecond: 3, p50: 2}, {perSecond: 2, p50: 4}})
	if m.perSecond != 2 || m.p50 != 4 {
		t.Errorf("got %+v", m)
	}
}

func TestOnlyWorkloadsThatExistAreChosen(t *testing.T) {
	if _, err := choose("nonsense", ""); err == nil || !strings.Contains(err.Error(), "chat, stream, prompt, paced") {
		t.Errorf("got %v", err)
	}
	for _, callers := range []string{"0", "x", "1,,2", "100000"} {
		if _, err := choose("", callers); err == nil {
			t.Errorf("%q callers passed", callers)
		}
	}
	chosen, err := choose("chat, paced", "3,5")
	if err != nil || len(chosen) != 2 || len(chosen[0].callers) != 2 || chosen[1].callers[1] != 5 {
		t.Errorf("got %+v, %v", chosen, err)
	}
}

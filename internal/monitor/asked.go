package monitor

import "github.com/prometheus/client_golang/prometheus"

// asked are metrics whose values others know: they are asked for at each look
// at /metrics and kept nowhere.
type asked struct{ descs []*prometheus.Desc }

// show gives one series of a metric its value.
type show func(to chan<- prometheus.Metric, value float64, labels ...string)

func (a *asked) gauge(name, help string, labels ...string) show {
	return a.add(prometheus.GaugeValue, prometheus.NewDesc(name, help, labels, nil))
}

func (a *asked) counter(name, help string, labels ...string) show {
	return a.add(prometheus.CounterValue, prometheus.NewDesc(name, help, labels, nil))
}

func (a *asked) add(kind prometheus.ValueType, d *prometheus.Desc) show {
	a.descs = append(a.descs, d)
	return func(to chan<- prometheus.Metric, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
}

// Describe is a prometheus.Collector's.
func (a *asked) Describe(to chan<- *prometheus.Desc) {
	for _, d := range a.descs {
		to <- d
	}
}

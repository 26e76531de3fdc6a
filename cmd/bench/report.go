package main

import (
	"fmt"
	"time"
)

const heading = "                   answers a second          p50 of an answer, ms     p50 to first byte, ms   CPU per answer, µs      objects per answer   memory, MiB\n" +
	"work    callers   direct   proxy  breakw.   direct   proxy  breakw.    proxy  breakw.         proxy  breakw.  times    proxy  breakw.   proxy  breakw.\n"

// row tells of one workload at so many callers; results are those of the
// upstream, the proxy and Breakwater.
func row(name string, callers int, results []measured) string {
	direct, proxy, own := results[0], results[1], results[2]
	return fmt.Sprintf("%-7s %7d  %7.0f %7.0f  %7.0f  %7.2f %7.2f  %7.2f  %7.2f  %7.2f       %7d  %7d %6.2f  %7.0f  %7.0f %7.1f  %7.1f\n",
		name, callers, direct.perSecond, proxy.perSecond, own.perSecond, ms(direct.p50), ms(proxy.p50), ms(own.p50), ms(proxy.first), ms(own.first),
		proxy.cpu.Microseconds(), own.cpu.Microseconds(), float64(own.cpu)/float64(max(proxy.cpu, 1)), proxy.allocs, own.allocs,
		proxy.resident, own.resident)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

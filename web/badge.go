package web

import (
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
)

// badge answers with a provider's state and its 90 days as a small picture, for
// a page of somebody else's.
func (s *Server) badge(c *gin.Context) {
	file, isPicture := strings.CutSuffix(c.Param("name"), ".svg")
	name, known := llm.ParseProvider(file)
	if !known || !isPicture {
		c.String(http.StatusNotFound, "There is no such badge. They are /badge/gemini.svg and so on.\n")
		return
	}
	status, err := s.status(c)
	if err != nil {
		s.unreadable(c, err)
		c.String(http.StatusServiceUnavailable, "The status cannot be read right now.\n")
		return
	}
	p := Provider{Name: name, State: Off}
	if i := slices.IndexFunc(status.Providers, func(p Provider) bool { return p.Name == name }); i >= 0 {
		p = status.Providers[i]
	}
	c.Header("Cache-Control", "no-cache, max-age=0") // image proxies keep pictures for hours otherwise
	c.Header("Vary", "Accept-Encoding")
	c.Data(http.StatusOK, "image/svg+xml; charset=utf-8", []byte(drawBadge(p, uptime(quarter(p.Days, status.Now)))))
}

// Colours of the palette on white, and outlines that differ as well; a badge
// stands on a page that is not ours, so that it brings its own ground.
var badgeMarks = map[string][2]string{
	"ok":          {"#4c9886", `<circle cx="14" cy="12" r="5"/>`},
	"warn":        {"#a05a00", `<path d="M14 6.4l5.8 10.4H8.2z"/>`},
	"bad":         {"#8c1610", `<path d="M9 7h10v10H9z"/>`},
	"maintenance": {"#3f62b5", `<path d="M14 6l6 6-6 6-6-6z"/>`},
	"none":        {"#87919a", `<circle cx="14" cy="12" r="5" stroke-dasharray="2 2"/>`},
}

func drawBadge(p Provider, up Figure[float64]) string {
	mark := badgeMarks[p.symbol()]
	days := noData
	if up.Known {
		days = percent(up.Value, 2) + " in 90 days"
	}
	name := p.Name.Title()
	rest := strings.ToLower(p.word()) + ", " + days
	// The widths are estimated, and the text is made to fit them.
	nameWidth, restWidth := 7*utf8.RuneCountInString(name), 6*utf8.RuneCountInString(rest)
	width := 26 + nameWidth + 8 + restWidth + 10
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="24" role="img" aria-label="%[2]s: %[3]s">`+
		`<title>%[2]s: %[3]s</title>`+
		`<rect x=".5" y=".5" width="%[4]d" height="23" rx="3" fill="#ffffff" stroke="#87919a"/>`+
		`<g fill="none" stroke="%[5]s" stroke-width="2">%[6]s</g>`+
		`<g font-family="system-ui,Verdana,sans-serif" font-size="12">`+
		`<text x="26" y="16" fill="#14181c" font-weight="700" textLength="%[7]d">%[2]s</text>`+
		`<text x="%[8]d" y="16" fill="#566069" textLength="%[9]d">%[3]s</text></g></svg>
`, width, html.EscapeString(name), html.EscapeString(rest), width-1, mark[0], mark[1], nameWidth, 26+nameWidth+8, restWidth)
}

package alerts

import "html/template"

// The pages set no colours of their own, so that a dark mail program shows them
// dark, and need neither pictures nor anything else from outside.
const mailHead = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>{{.Title}}</title></head>
<body style="font-family:sans-serif;font-size:15px;line-height:1.45;max-width:40em">
<h1 style="font-size:19px">{{.Title}}</h1>
`

var mailPage = template.Must(template.New("mail").Parse(mailHead + `<p>{{.Lead}}</p>
{{range .Lines}}<p><b>{{.Label}}</b><br>
{{range $n, $text := .Text}}{{if $n}}<br>
{{end}}{{$text}}{{end}}</p>
{{end}}<p><small>{{.Foot}}{{if .Page}} · <a href="{{.Page}}">Open in Breakwater</a>{{end}}</small></p>
</body></html>
`))

var digestPage = template.Must(template.New("digest").Parse(mailHead + `<ul>
{{range .Of}}<li>{{.Lead}} <small>({{if .Page}}<a href="{{.Page}}">{{.Foot}}</a>{{else}}{{.Foot}}{{end}})</small></li>
{{end}}</ul>
</body></html>
`))

package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"
)

//go:embed static/*.js static/*.css static/*.svg
var static embed.FS

// asset is one static file, as it is and compressed.
type asset struct {
	body, gzipped []byte
	contentType   string
	hash          string
}

// assets holds the static files by name.
type assets map[string]asset

func loadAssets() (assets, error) {
	files, err := fs.ReadDir(static, "static")
	if err != nil {
		return nil, fmt.Errorf("static files: %w", err)
	}
	all := assets{}
	for _, f := range files {
		body, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("static files: %w", err)
		}
		gzipped, err := compress(body, gzip.BestCompression)
		if err != nil {
			return nil, fmt.Errorf("static files: compress %s: %w", f.Name(), err)
		}
		sum := sha256.Sum256(body)
		all[f.Name()] = asset{
			body: body, gzipped: gzipped,
			contentType: mime.TypeByExtension(path.Ext(f.Name())),
			hash:        hex.EncodeToString(sum[:6]),
		}
	}
	return all, nil
}

// url gives a file's address. It changes with the content, so that a browser
// may keep the file for ever.
func (a assets) url(name string) string { return "/static/" + name + "?v=" + a[name].hash }

func (s *Server) asset(c *gin.Context) {
	file, ok := s.assets[strings.TrimPrefix(c.Param("file"), "/")]
	if !ok {
		c.String(http.StatusNotFound, "There is no such file.\n")
		return
	}
	tag := `"` + file.hash + `"`
	h := c.Writer.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if c.Query("v") == file.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if c.GetHeader("If-None-Match") == tag {
		c.Status(http.StatusNotModified)
		return
	}
	h.Set("Vary", "Accept-Encoding")
	body := file.body
	if acceptsGzip(c.Request) {
		h.Set("Content-Encoding", "gzip")
		body = file.gzipped
	}
	c.Data(http.StatusOK, file.contentType, body)
}

func compress(body []byte, level int) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// acceptsGzip reads the one encoding that every browser offers.
func acceptsGzip(r *http.Request) bool {
	for _, offer := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(offer), ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.Trim(strings.TrimPrefix(strings.TrimSpace(q), "q="), "0.") != "" || q == ""
		}
	}
	return false
}

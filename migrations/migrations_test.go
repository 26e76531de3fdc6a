package migrations_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"

	"breakwater/migrations"
)

func TestFilesAreNumberedWithoutGaps(t *testing.T) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	for i, name := range files {
		if want := fmt.Sprintf("%05d_", i+1); !strings.HasPrefix(name, want) {
			t.Errorf("migration %d is named %q, want a name that begins with %q", i+1, name, want)
		}
	}
}

func TestEachFileIsOneStatementToGoose(t *testing.T) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "-- +goose Up\n-- +goose StatementBegin\n") || !strings.HasSuffix(string(text), "\n-- +goose StatementEnd\n") {
			t.Errorf("%s is more than one statement to goose, whose parser then takes 4 MB for each line", name)
		}
	}
}

func TestUpFromEmptyMakesStrictTablesAndIsIdempotent(t *testing.T) {
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "new.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, wantAll := range []bool{true, false} {
		provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.FS)
		if err != nil {
			t.Fatal(err)
		}
		done, err := provider.Up(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all := len(done) == len(provider.ListSources()); all != wantAll || !wantAll && len(done) != 0 {
			t.Errorf("applied %d of %d migrations, want all = %t", len(done), len(provider.ListSources()), wantAll)
		}
	}
	var loose string
	err = db.QueryRow(`SELECT coalesce(group_concat(name), '') FROM pragma_table_list
		WHERE schema = 'main' AND NOT strict AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version'`).Scan(&loose)
	if err != nil || loose != "" {
		t.Errorf("tables that are not STRICT: %q, %v", loose, err)
	}
}

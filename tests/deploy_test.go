package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/abeyance/abeyance/tests/program"
)

const (
	unitFile    = "../deploy/systemd/abeyance.service"
	dockerFile  = "../deploy/Dockerfile"
	composeFile = "../deploy/compose.yaml"
	exampleFile = "../abeyance.example.yaml"
)

// directives reads a file of lines such as KEY=VALUE or KEY VALUE, which comments and
// blank lines may stand between.
func directives(t *testing.T, path, separator string) map[string][]string {
	t.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for line := range strings.Lines(string(doc)) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, separator); ok && !strings.HasPrefix(line, "#") {
			found[key] = append(found[key], value)
		}
	}
	return found
}

// execForm reads the list of words that an instruction of a Dockerfile ends with.
func execForm(t *testing.T, instruction string) (words []string) {
	t.Helper()
	at := strings.Index(instruction, "[")
	if at < 0 {
		t.Fatalf("%q has no list of words: in an empty image there is no shell", instruction)
	}
	if err := json.Unmarshal([]byte(instruction[at:]), &words); err != nil {
		t.Fatalf("%q: %v", instruction, err)
	}
	return words
}

// composition is the compose file, as far as it is looked at.
type composition struct {
	Services map[string]service    `yaml:"services"`
	Volumes  map[string]*yaml.Node `yaml:"volumes"`
}

type service struct {
	Image       string            `yaml:"image"`
	Build       map[string]string `yaml:"build"`
	Command     []string          `yaml:"command"`
	Ports       []string          `yaml:"ports"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	Profiles    []string          `yaml:"profiles"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	Security    []string          `yaml:"security_opt"`
	Restart     string            `yaml:"restart"`
	Grace       string            `yaml:"stop_grace_period"`
}

func readCompose(t *testing.T) (c composition) {
	t.Helper()
	doc, err := os.ReadFile(composeFile)
	if err == nil {
		err = yaml.Load(doc, &c, yaml.WithKnownFields())
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComposeFile(t *testing.T) {
	c := readCompose(t)
	s, ok := c.Services["abeyance"]
	if !ok {
		t.Fatal("there is no service abeyance")
	}
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.Security, "no-new-privileges:true") {
		t.Errorf("the container may do more than it needs: %+v", s)
	}
	for name, s := range c.Services {
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s is published to everybody: %s", name, p)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, named := c.Volumes[source]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(composeFile), source)); err != nil {
				t.Errorf("a volume of %s: %v", name, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(composeFile), s.Build["context"], s.Build["dockerfile"])); err != nil {
		t.Error(err)
	}
	// The volume lies where the image's data directory is.
	image := directives(t, dockerFile, " ")
	if want := "ABEYANCE_DATA_DIR=" + s.Environment["ABEYANCE_DATA_DIR"]; !slices.Contains(image["ENV"], want) {
		t.Errorf("the image has %q, not %s", image["ENV"], want)
	}
	if !slices.Contains(s.Volumes, "state:"+image["VOLUME"][0]) {
		t.Errorf("no volume is on %s", image["VOLUME"][0])
	}
}

func TestDockerfile(t *testing.T) {
	image := directives(t, dockerFile, " ")
	if from := image["FROM"]; len(from) != 2 || from[1] != "scratch" {
		t.Errorf("the image is made from %q, want one of nothing but the binary", from)
	}
	if user := image["USER"]; !slices.Equal(user, []string{"65532:65532"}) { // a number: there is no passwd file
		t.Errorf("it runs as %q", user)
	}
	build := strings.Join(image["RUN"], "\n")
	if !strings.Contains(build, "CGO_ENABLED=0 go build") {
		t.Error("the binary is not built static")
	}
	if program := execForm(t, image["ENTRYPOINT"][0]); program[0] != execForm(t, image["HEALTHCHECK"][0])[0] {
		t.Errorf("the health check runs another program than %q", program)
	}
	if doc, err := os.ReadFile("../go.mod"); err != nil || !strings.Contains(string(doc), "\ngo 1.26") || !strings.HasPrefix(image["FROM"][0], "golang:1.26 ") {
		t.Errorf("%q is not the Go of go.mod: %v", image["FROM"][0], err)
	}
}

// unitWith writes the unit for a program, changed by edit, and returns its path.
func unitWith(t *testing.T, program string, edit func(string) string) string {
	t.Helper()
	doc, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "abeyance.service")
	text := edit(strings.ReplaceAll(string(doc), "ExecStart=/usr/local/bin/abeyance ", "ExecStart="+program+" "))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSystemdUnitIsSoundAndHardened(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		skip(t, "systemd-analyze is not installed: apt-get install systemd")
	}
	path, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	verify := func(unit string) string {
		out, err := exec.CommandContext(t.Context(), tool, "verify", unit).CombinedOutput()
		if err != nil {
			out = append(out, err.Error()...)
		}
		return string(out)
	}
	// The tenths of the exposure that systemd counts; 2.0 of 10 is well below "OK".
	exposed := func(unit string) error {
		return run(t, tool, "security", "--offline=true", "--threshold=20", unit)
	}
	as := func(edit func(string) string) string { return unitWith(t, path, edit) }
	whole := as(func(s string) string { return s })
	if out := verify(whole); out != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	if err := exposed(whole); err != nil {
		t.Error(err)
	}
	// The controls: a key that there is not, and a unit that may do more.
	if verify(as(func(s string) string { return strings.Replace(s, "[Install]", "NoSuchKey=1\n[Install]", 1) })) == "" {
		t.Error("an unknown key passes")
	}
	if exposed(as(func(s string) string {
		s = strings.Replace(s, "SystemCallFilter=", "#", 2)
		return strings.Replace(s, "CapabilityBoundingSet=", "#", 1)
	})) == nil {
		t.Error("a unit with all system calls and capabilities passes")
	}
}

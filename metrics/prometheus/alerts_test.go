package prometheus_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/metrics/prometheus"
)

var (
	inRule   = regexp.MustCompile(`(relink_[a-z_]+)(?:\{([^}]*)\})?`)
	oneLabel = regexp.MustCompile(`(\w+)=~?"([^"]*)"`)
	suffix   = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// The alert rules name metrics, labels and values of labels that are exported.
func TestAlertRules(t *testing.T) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	defer l.Close()
	m := prometheus.NewCollector()
	m.SetListener(l)
	// A histogram with a label is exported once it has counted something.
	client, err := relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{})
	require.NoError(t, err)
	defer client.Abort()
	server, err := l.AcceptConn()
	require.NoError(t, err)
	m.Observe(relink.Event{Kind: relink.EventOpened, Conn: server})
	defer server.Abort()
	exported := gather(t, m)

	b, err := os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary, Description string }
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(b, &file))
	rules := file.Groups[0].Rules
	require.Greater(t, len(rules), 10)
	for _, r := range rules {
		require.NotEmpty(t, r.Annotations.Description, r.Alert)
		used := inRule.FindAllStringSubmatch(r.Expr, -1)
		require.NotEmpty(t, used, r.Alert)
		for _, u := range append(used, inRule.FindAllStringSubmatch(r.Annotations.Description, -1)...) {
			name := u[1]
			if exported[name] == nil {
				name = suffix.ReplaceAllString(name, "")
			}
			require.Contains(t, exported, name, r.Alert)
			for _, label := range oneLabel.FindAllStringSubmatch(u[2], -1) {
				value(t, exported[name], label[1]+"="+label[2]) // it is there
			}
		}
	}
}

// promtool finds nothing wrong with them, and they fire when they should, on series that are
// made up.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("RELINK_BACKENDS") != "" {
			t.Fatal(err)
		}
		t.Skip("no promtool here: apt-get install prometheus")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		out, err := exec.Command(promtool, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

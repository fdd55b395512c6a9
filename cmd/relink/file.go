package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/proxy"
)

// A file is a configuration as it is written. What has a unit is written with it.
type file struct {
	Listen        []endpointInFile `yaml:"listen"`
	Suites        []text           `yaml:"suites"`
	Keys          []text           `yaml:"keys"`
	PresharedKeys []text           `yaml:"preshared-keys"`
	ClientKeys    text             `yaml:"client-keys"`
	Node          int64            `yaml:"node"`

	ReplayLimit      bytesize `yaml:"replay-limit"`
	ResumeTimeout    duration `yaml:"resume-timeout"`
	HandshakeTimeout duration `yaml:"handshake-timeout"`
	CloseTimeout     duration `yaml:"close-timeout"`
	LivenessTimeout  duration `yaml:"liveness-timeout"`
	MaxSessions      int      `yaml:"max-sessions"`
	MaxHandshakes    int      `yaml:"max-handshakes"`

	Idle   duration `yaml:"idle"`
	Life   duration `yaml:"life"`
	Answer duration `yaml:"answer"`
	Drain  duration `yaml:"drain"`
	Debug  text     `yaml:"debug"`

	Handover text `yaml:"handover"`

	DebugToken text `yaml:"debug-token"`

	Upstreams map[string]upstreamInFile `yaml:"upstreams"`
	Default   text                      `yaml:"default"`
	Routes    []ruleInFile              `yaml:"routes"`
}

type upstreamInFile struct {
	To            []text   `yaml:"to"`
	DialTimeout   duration `yaml:"dial-timeout"`
	ProxyProtocol int      `yaml:"proxy-protocol"`

	TLS    *tlsInFile    `yaml:"tls"`
	Relink *relinkInFile `yaml:"relink"`
}

type tlsInFile struct {
	CA         text `yaml:"ca"`
	ServerName text `yaml:"server-name"`
}

type relinkInFile struct {
	Suite         text     `yaml:"suite"`
	ServerKeys    []text   `yaml:"server-keys"`
	Key           text     `yaml:"key"`
	PresharedKey  text     `yaml:"preshared-key"`
	Target        text     `yaml:"target"`
	ResumeTimeout duration `yaml:"resume-timeout"`
}

// An endpointInFile is an address alone, or with how it is served.
type endpointInFile struct {
	Address           text   `yaml:"address"`
	Certificate       text   `yaml:"certificate"`
	CertificateKey    text   `yaml:"certificate-key"`
	ProxyProtocolFrom []text `yaml:"proxy-protocol-from"`
	ForwardedForFrom  []text `yaml:"forwarded-for-from"`
	Origins           []text `yaml:"origins"`
	KCPShards         text   `yaml:"kcp-shards"`
	Socket            text   `yaml:"socket"`
}

// endpointKeys are the keys of an endpointInFile: a decoder of its own does not know
// that unknown ones are errors.
var endpointKeys = []string{"address", "certificate", "certificate-key", "proxy-protocol-from", "forwarded-for-from", "origins", "kcp-shards", "socket"}

// UnmarshalYAML takes a string or a mapping.
func (e *endpointInFile) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return e.Address.UnmarshalYAML(n)
	}
	for i := 0; i < len(n.Content); i += 2 {
		if k := n.Content[i]; !slices.Contains(endpointKeys, k.Value) {
			return fmt.Errorf("line %d: there is no key %q", k.Line, k.Value)
		}
	}
	type plain endpointInFile // without this method
	if err := n.Decode((*plain)(e)); err != nil {
		return err
	}
	if e.Address.value == "" {
		return fmt.Errorf("line %d: address is missing", n.Line)
	}
	return nil
}

type ruleInFile struct {
	Name    text `yaml:"name"`
	Prefix  text `yaml:"prefix"`
	Suffix  text `yaml:"suffix"`
	Pattern text `yaml:"pattern"`
	To      text `yaml:"to"`
}

// A text is a string that knows its line.
type text struct {
	value string
	line  int
}

// UnmarshalYAML takes strings alone: 7000 is no address, and yes no name.
func (t *text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return fmt.Errorf("line %d: a string is wanted: put it in quotes if it is one", n.Line)
	}
	*t = text{n.Value, n.Line}
	return nil
}

type duration time.Duration

// UnmarshalYAML takes what Go takes for a duration.
func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode || v <= 0 {
		return fmt.Errorf("line %d: %q is no time: 30s, 5m or 2h, for instance", n.Line, n.Value)
	}
	*d = duration(v)
	return nil
}

type bytesize int

// UnmarshalYAML takes a number of KiB, MiB or GiB.
func (b *bytesize) UnmarshalYAML(n *yaml.Node) error {
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if digits, ok := strings.CutSuffix(n.Value, unit); ok {
			v, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 20)
			if err == nil && v > 0 {
				*b = bytesize(min(v<<(10*(i+1)), 1<<31-1)) // beyond every bound
				return nil
			}
		}
	}
	return fmt.Errorf("line %d: %q is no size: 256KiB or 4MiB, for instance", n.Line, n.Value)
}

// readFile reads a configuration and checks it. An error names the file and, where
// there is one, the line.
func readFile(name string) (*config, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	c, err := parseFile(b, filepath.Dir(name))
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// unknownKey is how package yaml says that a key is unknown.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)

// parseFile reads a configuration. Files that it names are relative to dir.
func parseFile(b []byte, dir string) (*config, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, err
	}
	if err := refuseEmpty(&root, ""); err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	var f file
	if err := d.Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("nothing is in it")
		}
		return nil, errors.New(unknownKey.ReplaceAllString(err.Error(), `there is no key "$1"`))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document in it")
	}
	return f.config(dir, &root)
}

// refuseEmpty refuses keys without a value, which may be a mistake of indentation.
func refuseEmpty(n *yaml.Node, key string) error {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return fmt.Errorf("line %d: %q has no value: leave the key out, or check how the next line is indented", n.Line, key)
	}
	for i, child := range n.Content {
		inside := key
		if n.Kind == yaml.MappingNode {
			inside = n.Content[i&^1].Value
		}
		if err := refuseEmpty(child, inside); err != nil {
			return err
		}
	}
	return nil
}

// lineOf returns the line of the key that the path of keys leads to.
func lineOf(root *yaml.Node, path ...string) int {
	n := root.Content[0]
	line := n.Line
	for _, key := range path {
		i := 0
		for ; i < len(n.Content) && n.Content[i].Value != key; i += 2 {
		}
		if i >= len(n.Content) {
			break
		}
		line, n = n.Content[i].Line, n.Content[i+1]
	}
	return line
}

func values(texts []text) []string {
	var s []string
	for _, t := range texts {
		s = append(s, t.value)
	}
	return s
}

func (f *file) config(dir string, root *yaml.Node) (*config, error) {
	c := &config{
		suites: values(f.Suites), node: f.Node,
		replayLimit:      int(f.ReplayLimit),
		resumeTimeout:    time.Duration(f.ResumeTimeout),
		handshakeTimeout: time.Duration(f.HandshakeTimeout),
		closeTimeout:     time.Duration(f.CloseTimeout),
		livenessTimeout:  time.Duration(f.LivenessTimeout),
		maxSessions:      f.MaxSessions,
		maxHandshakes:    f.MaxHandshakes,
		limits:           proxy.Limits{Idle: time.Duration(f.Idle), Life: time.Duration(f.Life), Answer: time.Duration(f.Answer)},
		drain:            time.Duration(f.Drain),
		debug:            f.Debug.value,
		handover:         f.Handover.in(dir),
		tokenFile:        f.DebugToken.in(dir),
	}
	for _, l := range f.Listen {
		e, err := l.endpoint(dir)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.Address.line, err)
		}
		c.listen = append(c.listen, e)
	}
	for _, k := range f.Keys {
		c.keyFiles = append(c.keyFiles, k.in(dir))
	}
	for _, k := range f.PresharedKeys {
		c.presharedFiles = append(c.presharedFiles, k.in(dir))
	}
	c.clientKeyFile = f.ClientKeys.in(dir)
	ups, err := f.upstreams(dir, root)
	if err != nil {
		return nil, err
	}
	c.routes, err = f.routes(ups, root)
	return c, err
}

// in is the text as the name of a file, relative to dir, and empty if there is none.
func (t text) in(dir string) string {
	if t.value == "" || filepath.IsAbs(t.value) {
		return t.value
	}
	return filepath.Join(dir, t.value)
}

func (e *endpointInFile) endpoint(dir string) (_ *endpoint, err error) {
	to := &endpoint{certificate: e.Certificate.in(dir), certificateKey: e.CertificateKey.in(dir), origins: values(e.Origins), socket: e.Socket.value}
	if to.carrier, err = parseCarrier(e.Address.value); err != nil {
		return nil, err
	}
	for _, t := range e.ProxyProtocolFrom {
		if err := to.trust(t.value); err != nil {
			return nil, err
		}
	}
	for _, t := range e.ForwardedForFrom {
		p, err := parsePrefix(t.value)
		if err != nil {
			return nil, err
		}
		to.forwarders = append(to.forwarders, p)
	}
	if e.KCPShards.value != "" {
		err = to.shards.Set(e.KCPShards.value)
	}
	return to, err
}

func (f *file) upstreams(dir string, root *yaml.Node) (map[string]*proxy.Upstream, error) {
	if len(f.Upstreams) == 0 {
		return nil, errors.New("upstreams is missing: the servers to carry sessions on to")
	}
	ups := make(map[string]*proxy.Upstream)
	for _, name := range slices.Sorted(maps.Keys(f.Upstreams)) {
		u := f.Upstreams[name]
		up := &proxy.Upstream{Addresses: values(u.To), DialTimeout: time.Duration(u.DialTimeout), ProxyProtocol: u.ProxyProtocol}
		err := u.layers(up, dir)
		if err == nil {
			err = up.Check()
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: upstream %q: %w", lineOf(root, "upstreams", name), name, err)
		}
		ups[name] = up
	}
	return ups, nil
}

// layers sets what is on top of the connections to an upstream.
func (u *upstreamInFile) layers(up *proxy.Upstream, dir string) error {
	if t := u.TLS; t != nil {
		pool, err := readAuthorities(t.CA.in(dir))
		if err != nil {
			return err
		}
		up.TLS = &tls.Config{RootCAs: pool, ServerName: t.ServerName.value}
	}
	if r := u.Relink; r != nil {
		s := clientSuite{
			name: cmp.Or(r.Suite.value, "noise"), serverKeys: values(r.ServerKeys), keyFile: r.Key.in(dir),
			preshared: r.PresharedKey.in(dir), target: r.Target.value,
		}
		suite, err := s.suite()
		if err != nil {
			return err
		}
		up.Relink = &relink.Dialer{Suite: suite, Config: relink.Config{ResumeTimeout: time.Duration(r.ResumeTimeout)}}
	}
	return nil
}

// routes returns the routes, with every upstream in use.
func (f *file) routes(ups map[string]*proxy.Upstream, root *yaml.Node) (*proxy.Routes, error) {
	used := make(map[string]bool)
	find := func(t text) (*proxy.Upstream, error) {
		up, ok := ups[t.value]
		if !ok {
			return nil, fmt.Errorf("line %d: there is no upstream %q", t.line, t.value)
		}
		used[t.value] = true
		return up, nil
	}
	routes := new(proxy.Routes)
	if f.Default.value != "" {
		up, err := find(f.Default)
		if err != nil {
			return nil, err
		}
		routes.Default = up
	}
	named := len(f.Suites) == 0 || slices.ContainsFunc(f.Suites, func(t text) bool { return namesTarget(t.value) })
	if len(f.Routes) > 0 && !named {
		return nil, fmt.Errorf("line %d: routes are for the suites noise and scp, whose clients name a server: none of them is among the suites", lineOf(root, "routes"))
	}
	if routes.Default == nil && (!named || len(f.Routes) == 0) {
		return nil, errors.New("default is missing: the upstream of clients that name none")
	}
	for i, r := range f.Routes {
		line := lineOf(root, "routes")
		for _, t := range []text{r.Name, r.Prefix, r.Suffix, r.Pattern, r.To} {
			line = max(line, t.line)
		}
		if r.To.value == "" {
			return nil, fmt.Errorf("line %d: route %d: to is missing, the name of an upstream", line, i+1)
		}
		if r.Name.value == "" && r.Prefix.value == "" && r.Suffix.value == "" && r.Pattern.value == "" {
			return nil, fmt.Errorf("line %d: route %d has no condition: name, prefix, suffix or pattern", line, i+1)
		}
		up, err := find(r.To)
		if err != nil {
			return nil, err
		}
		rule := proxy.Rule{Name: r.Name.value, Prefix: r.Prefix.value, Suffix: r.Suffix.value, Upstream: up}
		if r.Pattern.value != "" {
			if rule.Pattern, err = regexp.Compile(r.Pattern.value); err != nil {
				return nil, fmt.Errorf("line %d: %w", r.Pattern.line, err)
			}
		}
		routes.Rules = append(routes.Rules, rule)
	}
	for _, name := range slices.Sorted(maps.Keys(ups)) {
		if !used[name] {
			return nil, fmt.Errorf("line %d: the upstream %q is neither the default nor in a route", lineOf(root, "upstreams", name), name)
		}
	}
	return routes, nil
}

// check reads a configuration file, and says what is wrong with it.
func check(p *program, args []string) int {
	flags := newFlags("check")
	if status, ok := p.parse(flags, args, "relink check FILE", 1); !ok {
		return status
	}
	if _, err := readFile(flags.Arg(0)); err != nil {
		return p.failed("check", err, exitFailed)
	}
	return exitOK
}

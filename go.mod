module github.com/relink-go/relink

go 1.25.0

require (
	github.com/cloudflare/circl v1.6.5
	github.com/flynn/noise v1.1.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/crypto v0.54.0
	golang.org/x/net v0.56.0
	golang.org/x/sys v0.47.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

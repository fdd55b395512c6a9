module github.com/relink-go/relink

go 1.25.0

require (
	github.com/flynn/noise v1.1.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/crypto v0.47.0
	golang.org/x/net v0.49.0
	golang.org/x/sys v0.40.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

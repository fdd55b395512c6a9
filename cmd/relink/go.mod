module github.com/relink-go/relink/cmd/relink

go 1.25.0

require (
	github.com/relink-go/relink v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5
	golang.org/x/sys v0.47.0
	golang.org/x/term v0.45.0
)

require (
	github.com/cloudflare/circl v1.6.5 // indirect
	golang.org/x/crypto v0.54.0 // indirect
)

replace github.com/relink-go/relink => ../..

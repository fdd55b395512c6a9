package replay

const (
	MinChunk = minChunk
	MaxChunk = maxChunk
)

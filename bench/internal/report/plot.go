package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Plot shows how a quantity grows (lines over X), or, with Categories, one
// quantity of each category (dots, with a line from quartile to quartile).
type Plot struct {
	File       string // without directory and ending
	Title      string
	X, Y       Axis
	Categories []string // the dots' rows, from the top
	Series     []Series
}

// An Axis has a label with its unit.
type Axis struct {
	Label string
	Log   bool
	Ticks []Tick // nil lets the library choose
}

// A Tick is a labelled place.
type Tick struct {
	At    float64
	Label string
}

// A Series is one line, or one colour of dots.
type Series struct {
	Name   string
	Points []Point
}

// A Point has quartiles around its value. In a plot with categories Y is the
// number of the category and X the value.
type Point struct {
	X, Y      float64
	Low, High float64
}

// colours tell series apart also for those who see few (Okabe and Ito, 2008).
var colours = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff},
	{0xd5, 0x5e, 0x00, 0xff},
	{0x00, 0x9e, 0x73, 0xff},
	{0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff},
	{0x56, 0xb4, 0xe9, 0xff},
	{0x55, 0x55, 0x55, 0xff},
	{0x8b, 0x45, 0x13, 0xff},
	{0x6a, 0x3d, 0x9a, 0xff},
	{0xb2, 0x22, 0x22, 0xff},
	{0x70, 0x80, 0x00, 0xff},
}

// styles gives a subject the same look in every plot. It is filled in the order in which
// subjects are first drawn.
type styles map[string]int

func (s styles) of(name string) (color.Color, draw.GlyphDrawer, []vg.Length) {
	i, ok := s[name]
	if !ok {
		i = len(s)
		s[name] = i
	}
	glyphs := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}}
	dashes := [][]vg.Length{nil, {vg.Points(6), vg.Points(3)}, {vg.Points(2), vg.Points(2)}}
	return colours[i%len(colours)], glyphs[i%len(glyphs)], dashes[i%len(dashes)]
}

// The sizes of all plots.
const (
	plotWidth  = 8 * vg.Inch
	lineHeight = 4.4 * vg.Inch
	rowHeight  = 0.34 * vg.Inch
	baseHeight = 1.1 * vg.Inch
)

// write draws the plot into a directory.
func (p Plot) write(dir string, look styles) error {
	out := plot.New()
	for _, style := range []*text.Style{
		&out.Title.TextStyle, &out.Legend.TextStyle,
		&out.X.Label.TextStyle, &out.X.Tick.Label, &out.Y.Label.TextStyle, &out.Y.Tick.Label,
	} {
		style.Font.Variant = "Sans"
	}
	out.Title.Text = p.Title
	out.Title.TextStyle.Font.Size = vg.Points(13)
	out.Title.Padding = vg.Points(8)
	p.X.apply(&out.X)
	if p.Categories == nil { // else Y only counts them
		p.Y.apply(&out.Y)
	}
	out.Legend.Left = true // the thumbnails stand before the names
	out.Legend.ThumbnailWidth = vg.Points(22)
	out.Legend.Padding = vg.Points(2)
	out.Add(grid(p.Categories == nil))
	height := lineHeight
	var err error
	if p.Categories == nil {
		err = p.lines(out, look)
	} else {
		height = baseHeight + rowHeight*vg.Length(len(p.Categories))
		err = p.dots(out, look)
	}
	if err != nil {
		return fmt.Errorf("plot %s: %w", p.File, err)
	}
	widen(&out.X)
	widen(&out.Y)
	canvas := vgsvg.NewWith(vgsvg.UseWH(plotWidth, height))
	inner := draw.New(canvas)
	inner.SetColor(color.White)
	inner.Fill(rectangle(inner.Rectangle))
	inner = draw.Crop(inner, vg.Points(8), -vg.Points(8), vg.Points(8), -vg.Points(8))
	p.withLegend(out, inner)
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, p.File+".svg"), bytes.ReplaceAll(b.Bytes(), []byte(libraryFont), []byte(fonts)), 0o644)
}

// The plotting library names a font that few readers have. Those of the second
// list have letters of the same widths.
const (
	libraryFont = "font-family:Liberation Sans"
	fonts       = "font-family:Liberation Sans,Arial,Helvetica,sans-serif"
)

// widen gives an axis on a logarithmic scale a range where all its values are the
// same, or where there are none: the library's own way leads to zero.
func widen(a *plot.Axis) {
	if _, log := a.Scale.(plot.LogScale); !log {
		return
	}
	if a.Min > a.Max {
		a.Min, a.Max = 1, 1
	}
	if a.Min == a.Max {
		a.Min, a.Max = a.Min/2, a.Max*2
	}
}

// withLegend draws the plot with its legend to the right of it, where it hides
// no data.
func (p Plot) withLegend(out *plot.Plot, c draw.Canvas) {
	legend := out.Legend
	out.Legend = plot.NewLegend()
	if len(p.Series) < 2 {
		out.Draw(c)
		return
	}
	legend.Top = true
	width := legend.Rectangle(c).Size().X + vg.Points(10)
	out.Draw(draw.Crop(c, 0, -width, 0, 0))
	legend.Draw(draw.Crop(c, c.Max.X-c.Min.X-width+vg.Points(10), 0, 0, -vg.Points(30)))
}

func rectangle(r vg.Rectangle) vg.Path {
	var p vg.Path
	p.Move(r.Min)
	p.Line(vg.Point{X: r.Max.X, Y: r.Min.Y})
	p.Line(r.Max)
	p.Line(vg.Point{X: r.Min.X, Y: r.Max.Y})
	p.Close()
	return p
}

func grid(both bool) *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color = color.Gray{0xdd}
	g.Horizontal.Color = color.Gray{0xdd}
	if !both {
		g.Horizontal.Color = color.Gray{0xee}
	}
	return g
}

func (a Axis) apply(to *plot.Axis) {
	to.Label.Text = a.Label
	if a.Log {
		to.Scale = plot.LogScale{}
		to.Tick.Marker = logTicks{}
	}
	if a.Ticks != nil {
		var ticks plot.ConstantTicks
		for _, t := range a.Ticks {
			ticks = append(ticks, plot.Tick{Value: t.At, Label: t.Label})
		}
		to.Tick.Marker = ticks
	}
}

// logTicks labels 1, 2 and 5 of each decade, or only the decades where they are many.
type logTicks struct{}

// Ticks implements [plot.Ticker].
func (logTicks) Ticks(least, most float64) []plot.Tick {
	first, last := int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most)))
	var ticks []plot.Tick
	for e := first; e <= last; e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, float64(e))
			if v < least*0.999 || v > most*1.001 {
				continue
			}
			label := plainNumber(v)
			if m != 1 && last-first > 3 {
				label = ""
			}
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
		}
	}
	return ticks
}

// plainNumber writes a number without an exponent.
func plainNumber(v float64) string {
	if v >= 1 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%g", v)
}

// lines draws each series as a line, with its quartiles as bars.
func (p Plot) lines(out *plot.Plot, look styles) error {
	for _, s := range p.Series {
		points := slices.DeleteFunc(slices.Clone(s.Points), func(q Point) bool { return !p.Y.shows(q.Y) || !p.X.shows(q.X) })
		if len(points) == 0 {
			continue
		}
		xys := make(plotter.XYs, len(points))
		spread := spreadPoints{XYs: xys}
		for i, q := range points {
			xys[i].X, xys[i].Y = q.X, q.Y
			spread.YErrors = append(spread.YErrors, p.Y.error(q.Y, q))
		}
		colour, glyph, dash := look.of(s.Name)
		line, marks, err := plotter.NewLinePoints(xys)
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = colour, vg.Points(1.4), dash
		marks.Color, marks.Shape, marks.Radius = colour, glyph, vg.Points(2.6)
		bars, err := plotter.NewYErrorBars(spread)
		if err != nil {
			return err
		}
		bars.Color, bars.CapWidth = colour, vg.Points(3)
		out.Add(line, marks, bars)
		out.Legend.Add(s.Name, line, marks)
	}
	return nil
}

// spreadPoints are points with errors in Y.
type spreadPoints struct {
	plotter.XYs
	plotter.YErrors
}

// spreadDots are points with errors in X.
type spreadDots struct {
	plotter.XYs
	plotter.XErrors
}

// shows reports whether a value has a place on the axis.
func (a Axis) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.Log || v > 0)
}

// error is the distance to the quartiles, or none where they have no place.
func (a Axis) error(v float64, q Point) struct{ Low, High float64 } {
	if !a.shows(q.Low) || !a.shows(q.High) || q.Low == 0 && q.High == 0 {
		return struct{ Low, High float64 }{}
	}
	return struct{ Low, High float64 }{v - q.Low, q.High - v}
}

// dots draws one row for each category.
func (p Plot) dots(out *plot.Plot, look styles) error {
	n := len(p.Categories)
	var ticks plot.ConstantTicks
	for i, name := range p.Categories {
		ticks = append(ticks, plot.Tick{Value: float64(n - 1 - i), Label: name})
	}
	out.Y.Tick.Marker = ticks
	out.Y.Min, out.Y.Max = -0.6, float64(n)-0.4
	for k, s := range p.Series {
		points := slices.DeleteFunc(slices.Clone(s.Points), func(q Point) bool { return !p.X.shows(q.X) })
		if len(points) == 0 {
			continue
		}
		shift := (float64(len(p.Series)-1)/2 - float64(k)) * 0.16
		xys := make(plotter.XYs, len(points))
		spread := spreadDots{XYs: xys}
		for i, q := range points {
			xys[i].X, xys[i].Y = q.X, float64(n-1)-q.Y+shift
			spread.XErrors = append(spread.XErrors, p.X.error(q.X, q))
		}
		colour, glyph, _ := look.of(s.Name)
		marks, err := plotter.NewScatter(xys)
		if err != nil {
			return err
		}
		marks.Color, marks.Shape, marks.Radius = colour, glyph, vg.Points(3.6)
		bars, err := plotter.NewXErrorBars(spread)
		if err != nil {
			return err
		}
		bars.Color, bars.CapWidth = colour, vg.Points(4)
		out.Add(bars, marks)
		out.Legend.Add(s.Name, marks)
	}
	if !p.X.Log {
		out.X.Min = 0
	}
	out.Y.Min, out.Y.Max = -0.6, float64(n)-0.4
	return nil
}

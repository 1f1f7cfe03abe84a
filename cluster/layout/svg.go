package layout

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"unicode/utf8"
)

// The measures of a drawing, in pixels.
const (
	margin    = 24
	padding   = 14 // within a frame
	gap       = 10 // between boxes
	titleRoom = 22 // of a frame
	between   = 54 // rows of frames
	laneRoom  = 76 // for an arrow beside the frames, with what it says
	charWidth = 7  // of a text of 12 pixels
	maxLabel  = 44 // characters
	rowWidth  = 1100
)

// legend explains the arrows, legendPart those that are not for all.
const legend = "Arrows lead from who dials to who listens; 4 × 2: each of 4 dials each of 2."

const legendPart = " 3 of 8: so many of all pairs."

// colors are the fill and the line of each type.
var colors = [TimeMachine + 1][2]string{
	None: {"#eeeeee", "#777777"}, Control: {"#f1f1f1", "#777777"}, Logger: {"#e6f2e6", "#2e7d32"}, Manager: {"#fdecd9", "#c05f00"},
	Proxy: {"#efe6f7", "#6a1b9a"}, Worker: {"#e3eefa", "#1557a5"}, TimeMachine: {"#f5e9e9", "#8c2f2f"},
}

// A frame is drawn around all nodes of a type.
type frame struct {
	kind       NodeType
	nodes      []Node
	columns    int
	y, height  int
	attached   [2]int // arrows that begin or end at its left and right side
	begun, met [2]int // of these, those drawn so far that begin and end there
}

// An arrow is drawn for all connections between two types.
type arrow struct {
	from, to int // frames
	links    int
	lane     int // beside the frames, from 0; -1: straight up
	side     int // of the lanes: 0 left, 1 right
}

// drawing holds what the parts of a picture share.
type drawing struct {
	bytes.Buffer
	l                   *Layout
	frames              []frame
	arrows              []arrow
	left, width         int // of the frames
	boxWidth, boxHeight int
	managers            bool // boxes tell whose manager is whose
}

// SVG returns the layout as a picture: a frame with the nodes of each type, and arrows from those who dial to those who
// listen. The same layout gives the same bytes.
func SVG(l *Layout) []byte {
	d := &drawing{l: l}
	d.place()
	d.link()
	d.draw()
	return d.Bytes()
}

// place puts the frames below each other, so that all arrows lead upwards.
func (d *drawing) place() {
	longest, manager := 14, ""
	if managers := d.l.Sorted(Manager); len(managers) > 0 {
		manager = managers[0].Name
	}
	for i := range d.l.Nodes {
		n := &d.l.Nodes[i]
		longest = max(longest, utf8.RuneCountInString(label(n.Name))+1, utf8.RuneCountInString(address(n)))
		if n.Type == Worker || n.Type == Proxy {
			d.managers = d.managers || n.Manager != manager
		}
	}
	d.boxWidth, d.boxHeight = min(longest, maxLabel)*charWidth+16, 40
	if d.managers {
		d.boxHeight += 15
	}
	most := max(2, min(8, rowWidth/(d.boxWidth+gap)))
	widest := 1
	for _, t := range []NodeType{TimeMachine, Logger, Manager, Proxy, Worker, Control, None} {
		if nodes := d.l.Sorted(t); len(nodes) > 0 {
			d.frames = append(d.frames, frame{kind: t, nodes: nodes, columns: min(len(nodes), most)})
			widest = max(widest, min(len(nodes), most))
		}
	}
	d.width = max(widest*(d.boxWidth+gap)-gap+2*padding, 260)
	y := margin + 30
	for i := range d.frames {
		f := &d.frames[i]
		rows := (len(f.nodes) + f.columns - 1) / f.columns
		f.y, f.height = y, titleRoom+rows*(d.boxHeight+gap)-gap+2*padding
		y += f.height + between
	}
}

// link finds the arrows, and lanes for those that pass a frame.
func (d *drawing) link() {
	lanes := [2]int{}
	for span := 1; span < len(d.frames); span++ { // short ones are nearer
		for to := 0; to+span < len(d.frames); to++ {
			a := arrow{from: to + span, to: to, lane: -1}
			source, target := &d.frames[a.from], &d.frames[a.to]
			for i := range source.nodes {
				for k := range target.nodes {
					if d.l.dials(&source.nodes[i], &target.nodes[k]) {
						a.links++
					}
				}
			}
			if a.links == 0 {
				continue
			}
			if span > 1 {
				a.side = 1
				if lanes[1] > lanes[0] {
					a.side = 0
				}
				a.lane = lanes[a.side]
				lanes[a.side]++
				for _, f := range []*frame{source, target} {
					f.attached[a.side]++
				}
			}
			d.arrows = append(d.arrows, a)
		}
	}
	d.left = margin + lanes[0]*laneRoom
	if lanes[0] > 0 {
		d.left += gap
	}
}

func (d *drawing) draw() {
	right := d.left + d.width
	total := right + margin
	for _, a := range d.arrows {
		if a.side == 1 {
			total = max(total, right+gap+(a.lane+1)*laneRoom+margin)
		}
	}
	explain := legend
	for _, a := range d.arrows {
		if a.links != len(d.frames[a.from].nodes)*len(d.frames[a.to].nodes) {
			explain = legend + legendPart
		}
	}
	title := fmt.Sprintf("Zeek %v, %s", d.l.Version, d.l.Census())
	total = max(total, d.left+max(len(title)*9, len(explain)*6)+margin)
	height := margin + 60
	if n := len(d.frames); n > 0 {
		height = d.frames[n-1].y + d.frames[n-1].height + margin + 40
	}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, Helvetica, Arial, sans-serif" font-size="12">`+"\n", total, height, total, height)
	d.WriteString(`<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L10 5L0 10z" fill="#444"/></marker></defs>` + "\n")
	fmt.Fprintf(d, `<rect width="%d" height="%d" fill="white"/>`+"\n", total, height)
	d.text(d.left, margin+8, `font-size="15" font-weight="bold"`, title)
	for i := range d.frames {
		d.frame(&d.frames[i])
	}
	for i := range d.arrows {
		d.arrow(&d.arrows[i], right)
	}
	d.text(d.left, height-margin-14, `fill="#555"`, explain)
	d.text(d.left, height-margin+2, `fill="#555"`, "Logs are written by "+d.l.summary(d.l.logWriters())+".")
	d.WriteString("</svg>\n")
}

// text draws a text.
func (d *drawing) text(x, y int, attributes, s string) {
	fmt.Fprintf(d, `<text x="%d" y="%d" %s>`, x, y, attributes)
	d.escape(s)
	d.WriteString("</text>\n")
}

func (d *drawing) escape(s string) { xml.EscapeText(d, []byte(s)) } // a Buffer takes all

func (d *drawing) frame(f *frame) {
	fill, line := colors[f.kind][0], colors[f.kind][1]
	fmt.Fprintf(d, `<rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="%s"/>`+"\n", d.left, f.y, d.width, f.height, fill, line)
	d.text(d.left+padding, f.y+padding+8, fmt.Sprintf(`font-weight="bold" fill="%s"`, line), counted(len(f.nodes), f.kind))
	for i := range f.nodes {
		row, column := i/f.columns, i%f.columns
		inRow := min(f.columns, len(f.nodes)-row*f.columns)
		if row > 0 {
			inRow = f.columns // the last row is not centred, so that columns stay
		}
		x := d.left + (d.width-(inRow*(d.boxWidth+gap)-gap))/2 + column*(d.boxWidth+gap)
		d.box(&f.nodes[i], x, f.y+padding+titleRoom+row*(d.boxHeight+gap), line)
	}
}

// box draws a node.
func (d *drawing) box(n *Node, x, y int, line string) {
	dash, where := "", address(n)
	if !n.Listens() {
		dash, where = ` stroke-dasharray="4 3"`, "does not listen"
	}
	d.WriteString("<g><title>")
	d.escape(fmt.Sprintf("%s (%s) at %s dials %s", label(n.Name), n.Type.Word(), where, d.l.summary(d.l.Dials(n.Name))))
	fmt.Fprintf(d, `</title><rect x="%d" y="%d" width="%d" height="%d" rx="4" fill="white" stroke="%s"%s/>`+"\n", x, y, d.boxWidth, d.boxHeight, line, dash)
	middle := x + d.boxWidth/2
	d.text(middle, y+17, `text-anchor="middle" font-weight="bold"`, clip(label(n.Name)))
	d.text(middle, y+32, `text-anchor="middle" fill="#555"`, clip(where))
	if d.managers && (n.Type == Worker || n.Type == Proxy) {
		whose := "no manager"
		if n.Manager != "" {
			whose = "dials " + label(n.Manager)
		}
		d.text(middle, y+47, `text-anchor="middle" fill="#555"`, clip(whose))
	}
	d.WriteString("</g>\n")
}

// clip shortens a text to what fits a box.
func clip(s string) string {
	if utf8.RuneCountInString(s) <= maxLabel {
		return s
	}
	r := []rune(s)
	return string(r[:maxLabel-1]) + "…"
}

// arrow draws an arrow with how many connections it stands for.
func (d *drawing) arrow(a *arrow, right int) {
	from, to := &d.frames[a.from], &d.frames[a.to]
	says := fmt.Sprintf("%d × %d", len(from.nodes), len(to.nodes))
	if all := len(from.nodes) * len(to.nodes); a.links != all {
		says = fmt.Sprintf("%d of %d", a.links, all)
	}
	path := func(format string, args ...any) {
		fmt.Fprintf(d, `<path d="`+format+`" fill="none" stroke="#444" stroke-width="1.5" marker-end="url(#head)"/>`+"\n", args...)
	}
	if a.lane < 0 {
		x := d.left + d.width/2
		path("M%d %dL%d %d", x, from.y, x, to.y+to.height+2)
		d.text(x+8, (from.y+to.y+to.height)/2+4, `fill="#444"`, says)
		return
	}
	// Those with short ways come first. They begin above the others and end below them, so that none cross.
	from.begun[a.side]++
	to.met[a.side]++
	begin := from.meet(a.side, from.begun[a.side])
	end := to.meet(a.side, to.attached[a.side]+1-to.met[a.side])
	if a.side == 1 {
		x := right + gap + a.lane*laneRoom + 14
		path("M%d %dH%dV%dH%d", right, begin, x, end, right+2)
		d.text(x+6, (begin+end)/2+4, `fill="#444"`, says)
		return
	}
	x := d.left - gap - a.lane*laneRoom - 14
	path("M%d %dH%dV%dH%d", d.left, begin, x, end, d.left-2)
	d.text(x-6, (begin+end)/2+4, `text-anchor="end" fill="#444"`, says)
}

// meet returns where the arrow of that rank, from 1 at the top, meets a side of the frame.
func (f *frame) meet(side, rank int) int { return f.y + f.height*rank/(f.attached[side]+1) }

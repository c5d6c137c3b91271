package ui

import (
	"bytes"
	"math"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/abeyance/abeyance/api"
)

// statusPage is how the daemon is.
type statusPage struct {
	api.SummaryAnswer
	Figures []figure
}

// figure is one metric that the page shows.
type figure struct {
	Key   string // of the catalogue
	Value float64
	Unit  string // s, B, or none
}

// statusFigures are the metrics that the page shows, in order.
func statusFigures() []struct{ metric, key, unit string } {
	return []struct{ metric, key, unit string }{
		{"abeyance_subscribers", "status.subscribers", ""},
		{"abeyance_checkpoint_timestamp_seconds", "status.checkpointage", "ago"},
		{"abeyance_log_bytes", "status.bytes", "B"},
		{"abeyance_fold_seconds", "status.fold", "s"},
	}
}

func (d *Dashboard) status(p *page) (any, error) {
	s := new(statusPage)
	if err := p.get("/v1/summary", nil, &s.SummaryAnswer); err != nil {
		return nil, err
	}
	var err error
	s.Figures, err = p.figures(s.Now.Time)
	return s, err
}

// figures reads those of the daemon's metrics that the page shows and that are known yet.
func (p *page) figures(now time.Time) (list []figure, err error) {
	var text []byte
	if _, err := p.dash.client.raw(p.request, call{method: http.MethodGet, path: "/metrics"}, &text); err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, f := range statusFigures() {
		series := families[f.metric].GetMetric()
		if len(series) != 1 {
			continue
		}
		v := series[0].GetGauge().GetValue() + series[0].GetCounter().GetValue()
		if f.unit == "ago" && v > 0 {
			v, f.unit = now.Sub(time.UnixMilli(int64(v*1000))).Seconds(), "s"
		}
		if !math.IsNaN(v) && f.unit != "ago" { // 0: there is none yet
			list = append(list, figure{f.key, v, f.unit})
		}
	}
	return list, nil
}

// Figure writes a figure with its unit.
func (p *page) Figure(f figure) string {
	switch f.Unit {
	case "s":
		if f.Value < time.Minute.Seconds() {
			return p.T("status.seconds", f.Value)
		}
		return p.Span(time.Duration(f.Value * float64(time.Second)))
	case "B":
		return p.T("status.mib", f.Value/(1<<20))
	}
	return p.T("status.number", int64(f.Value))
}

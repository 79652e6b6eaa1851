// Reads what the daemon writes, with HdrHistogram's Go library, and prints it as JSON for the test to compare.
//
//	hdr log FILE     an interval log
//	hdr decode TEXT  one histogram in base64
package main

import (
	"encoding/json"
	"fmt"
	"os"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// histogram is one histogram as the library reads it. Values are in its own units.
type histogram struct {
	Tag         string    `json:"tag"`
	StartMillis int64     `json:"start_millis"`
	EndMillis   int64     `json:"end_millis"`
	Count       int64     `json:"count"`
	Max         int64     `json:"max"`
	Digits      int64     `json:"digits"`
	Values      [][]int64 `json:"values"`
	Quantiles   []int64   `json:"quantiles"`
}

// quantiles that the test compares, in percent.
var quantiles = []float64{50, 90, 99, 100}

func describe(h *hdr.Histogram) histogram {
	it := histogram{Tag: h.Tag(), StartMillis: h.StartTimeMs(), EndMillis: h.EndTimeMs(), Count: h.TotalCount(), Digits: h.SignificantFigures()}
	if it.Count > 0 {
		it.Max = h.Max()
	}
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			it.Values = append(it.Values, []int64{bar.From, bar.To, bar.Count})
		}
	}
	for _, percent := range quantiles {
		it.Quantiles = append(it.Quantiles, h.ValueAtQuantile(percent))
	}
	return it
}

func read() ([]histogram, error) {
	if len(os.Args) != 3 {
		return nil, fmt.Errorf("usage: hdr log FILE | hdr decode TEXT")
	}
	if os.Args[1] == "decode" {
		h, err := hdr.Decode([]byte(os.Args[2]))
		if err != nil {
			return nil, err
		}
		return []histogram{describe(h)}, nil
	}
	file, err := os.Open(os.Args[2])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all := []histogram{}
	reader := hdr.NewHistogramLogReader(file)
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			return nil, err
		}
		if h == nil {
			return all, nil
		}
		all = append(all, describe(h))
	}
}

func main() {
	all, err := read()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(all)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Reads an object of the Prometheus Operator into the operator's own type, and fails on unknown fields.
//
//	monitoring FILE
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	v1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

func decode(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var head struct{ APIVersion, Kind string }
	if err := json.Unmarshal(text, &head); err != nil {
		return err
	}
	kinds := map[string]any{
		v1.ServiceMonitorsKind: &v1.ServiceMonitor{},
		v1.PodMonitorsKind:     &v1.PodMonitor{},
		v1.PrometheusRuleKind:  &v1.PrometheusRule{},
	}
	object, known := kinds[head.Kind]
	if !known || head.APIVersion != v1.SchemeGroupVersion.String() {
		return fmt.Errorf("%s %s is not of the operator", head.APIVersion, head.Kind)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(object)
}

func main() {
	if err := decode(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

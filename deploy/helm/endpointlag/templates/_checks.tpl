{{/* Checks that the schema cannot do: values that exclude or need each other. The daemon would reject the same values, but only
after the installation. */}}
{{- define "endpointlag.checks" -}}
{{- with .Values -}}
{{- $sharded := gt (int .shards) 1 -}}
{{- if and $sharded (gt (int .replicas) 1) }}{{ fail "replicas and shards: choose one, the daemons either repeat each other or divide the cluster" }}{{ end -}}
{{- if and $sharded .namespaces }}{{ fail "shards divide the whole cluster, but namespaces chooses some" }}{{ end -}}
{{- if and .namespaces .excludeNamespaces }}{{ fail "excludeNamespaces leaves out of the whole cluster, but namespaces chooses some" }}{{ end -}}
{{- if and (eq .auth.kind "kubernetes") (not .tls.secretName) }}{{ fail "auth.kind kubernetes needs tls.secretName, otherwise tokens are sent unencrypted" }}{{ end -}}
{{- if and .auth.readers (ne .auth.kind "kubernetes") }}{{ fail "auth.readers has a meaning with auth.kind kubernetes only" }}{{ end -}}
{{- if eq (int .port) (int .probePort) }}{{ fail "probePort is the same as port: set it to 0 to keep the probes on port" }}{{ end -}}
{{- if and .serviceMonitor.enabled .podMonitor.enabled }}{{ fail "serviceMonitor and podMonitor: choose one, or each daemon is scraped twice" }}{{ end -}}
{{- if and .podMonitor.enabled (eq .auth.kind "kubernetes") (not .podMonitor.authorization) }}{{ fail "podMonitor.authorization has to name a token with auth.kind kubernetes; only a serviceMonitor can send the token of Prometheus" }}{{ end -}}
{{- $set := list "listen" "probe-listen" "tls-cert-file" "tls-key-file" "objective" "expiry" "buckets" "histogram" "max-services" "series-idle" "samples" "watch-idle-timeout" "log-level" "log-format" "namespace" "exclude-namespace" "shard" "auth" -}}
{{- range .extraArgs -}}
{{- $flag := . | trimPrefix "--" | splitList "=" | first -}}
{{- if has $flag $set }}{{ fail (printf "extraArgs: --%s has a value of its own in this chart" $flag) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

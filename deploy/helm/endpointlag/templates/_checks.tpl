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
{{- with .agents -}}
{{- if .enabled -}}
{{- if semverCompare "<1.30.0-0" $.Capabilities.KubeVersion.Version }}{{ fail (printf "agents.enabled needs Kubernetes 1.30 or later, not %s: the tokens of older versions do not name the node" $.Capabilities.KubeVersion.Version) }}{{ end -}}
{{- if not $.Values.tls.secretName }}{{ fail "agents.enabled needs tls.secretName: agents send a token, so they have to check the daemon's certificate" }}{{ end -}}
{{- if or $sharded (gt (int $.Values.replicas) 1) }}{{ fail "agents.enabled needs one daemon, because an agent reports to one only: set replicas and shards to 1, or agents.enabled to false" }}{{ end -}}
{{- if has (int .port) (list (int $.Values.port) (int $.Values.probePort)) }}{{ fail "agents.port is the same as port or probePort: choose another" }}{{ end -}}
{{- if not (or .serviceAccount.create .serviceAccount.name) }}{{ fail "agents.serviceAccount.create is false, so agents.serviceAccount.name has to name an existing ServiceAccount that only the agents use" }}{{ end -}}
{{- end -}}
{{- $set := list "daemon" "daemon-ca-file" "token-file" "node-name" "listen" "log-level" "log-format" -}}
{{- range .extraArgs -}}
{{- $flag := . | trimPrefix "--" | splitList "=" | first -}}
{{- if has $flag $set }}{{ fail (printf "agents.extraArgs: --%s has a value of its own in this chart" $flag) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $set := list "listen" "probe-listen" "tls-cert-file" "tls-key-file" "objective" "expiry" "pod-startup" "advice" "advice-interval" "buckets" "histogram" "max-services" "series-idle" "samples" "watch-protocol" "watch-idle-timeout" "log-level" "log-format" "namespace" "exclude-namespace" "shard" "auth" "agents-listen" "agents-service-account" "visible-slo" -}}
{{- range .extraArgs -}}
{{- $flag := . | trimPrefix "--" | splitList "=" | first -}}
{{- if has $flag $set }}{{ fail (printf "extraArgs: --%s has a value of its own in this chart" $flag) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of the objects. */}}
{{- define "endpointlag.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of cluster-scoped objects. Two releases with the same name, in two namespaces, must not share it. */}}
{{- define "endpointlag.clusterName" -}}
{{- $name := include "endpointlag.fullname" . -}}
{{- if eq $name .Release.Namespace -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Namespace $name | trunc 200 -}}
{{- end -}}
{{- end -}}

{{- define "endpointlag.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "endpointlag.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The daemon as the subject of a binding. */}}
{{- define "endpointlag.subject" -}}
- kind: ServiceAccount
  name: {{ include "endpointlag.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* Labels that select the release's pods. `name` is fixed, because it becomes the label `job` of every series. */}}
{{- define "endpointlag.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels that select the agents. They have a name of their own, because the selector above must not match them, and that of an
installed Deployment cannot be changed. */}}
{{- define "endpointlag.agentSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "endpointlag.agentServiceAccount" -}}
{{- .Values.agents.serviceAccount.name | default (printf "%s-agent" (include "endpointlag.fullname" .)) -}}
{{- end -}}

{{/* The host name by which agents reach the daemon. Its certificate has to contain this name. */}}
{{- define "endpointlag.agentsHost" -}}
{{ include "endpointlag.fullname" . }}-agents.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "endpointlag.labels" -}}
{{ include "endpointlag.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "endpointlag.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- with .Values.image.digest -}}
{{ $.Values.image.repository }}:{{ $tag }}@{{ . }}
{{- else -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}
{{- end -}}

{{/* All that the daemon reads. */}}
{{- define "endpointlag.rules" -}}
- apiGroups: [""]
  resources: [pods, services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end -}}

{{/* All that advice reads in addition, in the namespaces that are measured. */}}
{{- define "endpointlag.adviceRules" -}}
- apiGroups: [apps]
  resources: [daemonsets, deployments, replicasets, statefulsets]
  verbs: [list]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [list]
- apiGroups: [elbv2.k8s.aws]
  resources: [targetgroupbindings]
  verbs: [list]
{{- end -}}

{{/* How many daemons there are. */}}
{{- define "endpointlag.daemons" -}}
{{- max (int .Values.replicas) (int .Values.shards) -}}
{{- end -}}

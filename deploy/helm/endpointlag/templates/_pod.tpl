{{/* The pod of the Deployment and of the StatefulSet. */}}
{{- define "endpointlag.pod" -}}
{{- $daemons := int (include "endpointlag.daemons" .) -}}
{{- $probes := ternary "probes" "metrics" (gt (int .Values.probePort) 0) -}}
{{- $probeScheme := ternary "HTTPS" "HTTP" (and (ne .Values.tls.secretName "") (eq $probes "metrics")) -}}
metadata:
  # Without the chart's version: a new chart with the same daemon must not restart it.
  labels:
    {{- include "endpointlag.selector" . | nindent 4 }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    app.kubernetes.io/component: daemon
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: endpointlag
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "endpointlag.serviceAccount" . }}
  automountServiceAccountToken: true
  # A Service with the name endpointlag would set environment variables with the same prefix as the daemon's own.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    # Lets the daemon read a mounted Secret.
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if gt $daemons 1 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "endpointlag.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: endpointlag
      image: {{ include "endpointlag.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- include "endpointlag.arguments" . | nindent 8 }}
      {{- if or (gt (int .Values.shards) 1) .Values.extraEnv }}
      env:
        {{- if gt (int .Values.shards) 1 }}
        - name: SHARD_INDEX
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
        - name: ENDPOINTLAG_SHARD
          value: $(SHARD_INDEX)/{{ .Values.shards }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: {{ .Values.port }}
        {{- if eq $probes "probes" }}
        - name: probes
          containerPort: {{ .Values.probePort }}
        {{- end }}
        {{- if .Values.agents.enabled }}
        - name: agents
          containerPort: {{ .Values.agents.port }}
        {{- end }}
      # Checks only that the process runs. If the API server is down, a restart does not help, and would lose the pending changes.
      livenessProbe:
        httpGet:
          path: /healthz
          port: {{ $probes }}
          scheme: {{ $probeScheme }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # Checks that all watches are synced. A rollout waits for this.
      readinessProbe:
        httpGet:
          path: /readyz
          port: {{ $probes }}
          scheme: {{ $probeScheme }}
        periodSeconds: 5
        timeoutSeconds: 5
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        privileged: false
        capabilities:
          drop: [ALL]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      {{- if or .Values.tls.secretName .Values.extraVolumeMounts }}
      volumeMounts:
        {{- if .Values.tls.secretName }}
        - name: tls
          mountPath: /etc/endpointlag/tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
  {{- if or .Values.tls.secretName .Values.extraVolumes }}
  volumes:
    {{- with .Values.tls.secretName }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* An address and a port. An IPv6 address gets brackets. */}}
{{- define "endpointlag.listen" -}}
{{- $address := .address -}}
{{- if contains ":" $address }}{{ $address = printf "[%s]" $address }}{{ end -}}
{{- printf "%s:%d" $address (int .port) -}}
{{- end -}}

{{- define "endpointlag.arguments" -}}
- run
- --listen={{ include "endpointlag.listen" (dict "address" .Values.listenAddress "port" .Values.port) }}
{{- if gt (int .Values.probePort) 0 }}
- --probe-listen={{ include "endpointlag.listen" (dict "address" .Values.listenAddress "port" .Values.probePort) }}
{{- end }}
{{- if .Values.tls.secretName }}
- --tls-cert-file=/etc/endpointlag/tls/tls.crt
- --tls-key-file=/etc/endpointlag/tls/tls.key
{{- end }}
{{- if ne .Values.auth.kind "none" }}
- --auth={{ .Values.auth.kind }}
{{- end }}
{{- if .Values.agents.enabled }}
- --agents-listen={{ include "endpointlag.listen" (dict "address" .Values.listenAddress "port" .Values.agents.port) }}
- --agents-service-account={{ .Release.Namespace }}/{{ include "endpointlag.agentServiceAccount" . }}
{{- if .Values.agents.visibleSlo }}
- --visible-slo
{{- end }}
{{- end }}
{{- range .Values.namespaces }}
- --namespace={{ . }}
{{- end }}
{{- range .Values.excludeNamespaces }}
- --exclude-namespace={{ . }}
{{- end }}
- --objective={{ .Values.objective }}
- --expiry={{ .Values.expiry }}
{{- if .Values.podStartup }}
- --pod-startup
{{- end }}
{{- if .Values.advice.enabled }}
- --advice
- --advice-interval={{ .Values.advice.interval }}
{{- end }}
- --histogram={{ .Values.histogram }}
{{- with .Values.buckets }}
- --buckets={{ join "," . }}
{{- end }}
- --max-services={{ int .Values.maxServices }}
- --series-idle={{ .Values.seriesIdle }}
- --watch-idle-timeout={{ .Values.watchIdleTimeout }}
- --watch-protocol={{ .Values.watchProtocol }}
{{- if .Values.samples }}
- --samples=-
{{- end }}
- {{ printf "--log-level=%s" .Values.log.level | quote }}
- --log-format={{ .Values.log.format }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

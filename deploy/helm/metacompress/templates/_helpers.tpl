{{- define "metacompress.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "metacompress.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "metacompress.routerSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: router
{{- end }}

{{- define "metacompress.labels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "metacompress.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "metacompress.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- /* Of a dictionary with an image and the chart's appVersion. */ -}}
{{- define "metacompress.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ default .version .image.tag }}{{ end }}
{{- end }}

{{- define "metacompress.keysSecret" -}}
{{- if .Values.auth.existingSecret }}{{ .Values.auth.existingSecret }}{{ else if .Values.auth.keys }}{{ include "metacompress.name" . }}-keys{{ end }}
{{- end }}

{{- define "metacompress.weightsClaim" -}}
{{- if .Values.weights.existingClaim }}{{ .Values.weights.existingClaim }}{{ else if .Values.weights.create }}{{ include "metacompress.name" . }}-weights{{ end }}
{{- end }}

{{- define "metacompress.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- if not .Values.openshift }}
runAsUser: 10001
runAsGroup: 0
fsGroup: 0
{{- end }}
{{- end }}

{{- define "metacompress.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Helm reads every number as a float, and would write a large one with an exponent. */ -}}
{{- define "metacompress.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* What values.schema.json cannot say. */ -}}
{{- define "metacompress.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.router.enabled) }}
{{- fail "replicas > 1 needs router.enabled: without it a session's turns would wander between replicas" }}
{{- end }}
{{- if and .Values.model.path (not .Values.model.compressor) }}
{{- fail "model.path needs model.compressor: a folder below /models, or none" }}
{{- end }}
{{- if and .Values.model.path (not (include "metacompress.weightsClaim" .)) }}
{{- fail "model.path needs weights.existingClaim or weights.create" }}
{{- end }}
{{- if and .Values.auth.existingSecret .Values.auth.keys }}
{{- fail "auth.existingSecret and auth.keys exclude each other" }}
{{- end }}
{{- end }}

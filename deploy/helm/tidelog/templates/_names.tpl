{{- define "tidelog.name" -}}
{{- if contains "tidelog" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-tidelog" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "tidelog.selector" -}}
app.kubernetes.io/name: tidelog
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidelog.labels" -}}
{{ include "tidelog.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Host of the pod at an index of the list of nodes. */ -}}
{{- define "tidelog.host" -}}
{{- $name := include "tidelog.name" .root -}}
{{ printf "%s-%d.%s-peers.%s.svc.%s" $name .index $name .root.Release.Namespace .root.Values.clusterDomain }}
{{- end }}

{{- define "tidelog.clustered" -}}
{{- if gt (len .Values.nodes) 1 }}yes{{ end -}}
{{- end }}

{{- define "tidelog.certified" -}}
{{- if and (include "tidelog.clustered" .) (not .Values.certificates.insecure) }}yes{{ end -}}
{{- end }}

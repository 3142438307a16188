{{- define "native-sidecar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough that the longest suffix still fits into 63 characters. */}}
{{- define "native-sidecar.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "native-sidecar.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "native-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "native-sidecar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "native-sidecar.labels" -}}
{{ include "native-sidecar.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "native-sidecar.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "native-sidecar.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "native-sidecar.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* zz-: webhook configurations are called in the order of their names. */}}
{{- define "native-sidecar.webhookConfiguration" -}}
zz-{{ include "native-sidecar.fullname" . }}
{{- end }}

{{/* Not empty when the program talks to the API server. */}}
{{- define "native-sidecar.apiAccess" -}}
{{- if or .Values.clusterFacts (eq .Values.certificates.mode "self-managed") }}yes{{ end }}
{{- end }}

{{/* Not empty when the API server has the policies' v1 API. */}}
{{- define "native-sidecar.policies" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" }}yes
{{- else if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}yes
{{- end }}
{{- end }}

{{- define "native-sidecar.webhookCommon" -}}
rules:
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
  scope: Namespaced
failurePolicy: {{ .Values.webhook.failurePolicy }}
matchPolicy: Equivalent
reinvocationPolicy: IfNeeded
sideEffects: None
timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}
{{- end }}

{{- define "native-sidecar.clientConfig" -}}
clientConfig:
  {{- if eq .root.Values.certificates.mode "secret" }}
  caBundle: {{ required "certificates.caBundle is needed with certificates.mode secret" .root.Values.certificates.caBundle }}
  {{- end }}
  service:
    namespace: {{ .root.Release.Namespace }}
    name: {{ include "native-sidecar.fullname" .root }}
    port: 443
    path: {{ .path }}
{{- end }}

{{- define "native-sidecar.subject" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "native-sidecar.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

// A webhook as controller-runtime's documentation shows it: the pod is decoded into its Go type, changed, encoded
// again, and the patch is the difference of the two.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// The annotation that names the containers to move, here one.
const annotation = "native-sidecar.io/containers"

type mover struct{ decoder admission.Decoder }

// Handle moves the container that the annotation names behind the init containers, with restartPolicy: Always.
func (m mover) Handle(_ context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := m.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	move(&pod.Spec, pod.Annotations[annotation])
	changed, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

func move(spec *corev1.PodSpec, name string) {
	at := slices.IndexFunc(spec.Containers, func(container corev1.Container) bool { return container.Name == name })
	if at < 0 {
		return
	}
	sidecar := spec.Containers[at]
	always := corev1.ContainerRestartPolicyAlways
	sidecar.RestartPolicy = &always
	spec.Containers = slices.Delete(spec.Containers, at, at+1)
	spec.InitContainers = append(spec.InitContainers, sidecar)
}

func main() {
	port := flag.Int("port", 0, "port of 127.0.0.1 to serve on")
	folder := flag.String("certificates", "", "folder with tls.crt and tls.key")
	flag.Parse()
	log.SetLogger(klog.Background())
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		fail(err)
	}
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: *port, CertDir: *folder})
	server.Register("/mutate", &admission.Webhook{Handler: mover{admission.NewDecoder(scheme)}})
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := server.Start(stopped); err != nil {
		fail(err)
	}
}

func fail(err error) {
	klog.ErrorS(err, "cannot serve")
	os.Exit(1)
}

//! The rows of the table; see the module above.

use super::{Engine, Place, PodOwner, Treatment};

// Owners of pods, as controllers name them today.
const POD_TEMPLATE: PodOwner = PodOwner { api_version: "v1", kind: "PodTemplate" };
const REPLICATION_CONTROLLER: PodOwner = PodOwner { api_version: "v1", kind: "ReplicationController" };
const REPLICA_SET: PodOwner = PodOwner { api_version: "apps/v1", kind: "ReplicaSet" };
const DAEMON_SET: PodOwner = PodOwner { api_version: "apps/v1", kind: "DaemonSet" };
const STATEFUL_SET: PodOwner = PodOwner { api_version: "apps/v1", kind: "StatefulSet" };
const JOB: PodOwner = PodOwner { api_version: "batch/v1", kind: "Job" };
const SPARK_APPLICATION: PodOwner = PodOwner { api_version: "sparkoperator.k8s.io/v1beta2", kind: "SparkApplication" };
const POD: PodOwner = PodOwner { api_version: "v1", kind: "Pod" };
const SPARK_CONNECT: PodOwner = PodOwner { api_version: "sparkoperator.k8s.io/v1alpha1", kind: "SparkConnect" };
const APACHE_SPARK_APPLICATION: PodOwner = PodOwner { api_version: "spark.apache.org/v1", kind: "SparkApplication" };
const RAY_CLUSTER: PodOwner = PodOwner { api_version: "ray.io/v1", kind: "RayCluster" };
const PYTORCH_JOB: PodOwner = PodOwner { api_version: "kubeflow.org/v1", kind: "PyTorchJob" };
const TF_JOB: PodOwner = PodOwner { api_version: "kubeflow.org/v1", kind: "TFJob" };
const XGBOOST_JOB: PodOwner = PodOwner { api_version: "kubeflow.org/v1", kind: "XGBoostJob" };
const PADDLE_JOB: PodOwner = PodOwner { api_version: "kubeflow.org/v1", kind: "PaddleJob" };
const JAX_JOB: PodOwner = PodOwner { api_version: "kubeflow.org/v1", kind: "JAXJob" };
const MPI_JOB: PodOwner = PodOwner { api_version: "kubeflow.org/v2beta1", kind: "MPIJob" };
const CLONE_SET: PodOwner = PodOwner { api_version: "apps.kruise.io/v1beta1", kind: "CloneSet" };
const KRUISE_STATEFUL_SET: PodOwner = PodOwner { api_version: "apps.kruise.io/v1beta1", kind: "StatefulSet" };
const KRUISE_DAEMON_SET: PodOwner = PodOwner { api_version: "apps.kruise.io/v1beta1", kind: "DaemonSet" };
const BROADCAST_JOB: PodOwner = PodOwner { api_version: "apps.kruise.io/v1beta1", kind: "BroadcastJob" };
const VOLCANO_JOB: PodOwner = PodOwner { api_version: "batch.volcano.sh/v1alpha1", kind: "Job" };
const EPHEMERAL_RUNNER: PodOwner = PodOwner { api_version: "actions.github.com/v1alpha1", kind: "EphemeralRunner" };
const GAME_SERVER: PodOwner = PodOwner { api_version: "agones.dev/v1", kind: "GameServer" };
const SANDBOX: PodOwner = PodOwner { api_version: "agents.x-k8s.io/v1beta1", kind: "Sandbox" };

// Why nothing is done, and what to do instead.
const ARGO_WORKFLOWS: &str = "Argo Workflows builds the containers of each step itself and stops its sidecars when \
     the step is over; leave them under sidecars, or let the webhook convert the pods";
const ARGO_EVENTS: &str = "Argo Events builds the only container itself and takes no others; sidecars come from \
     injectors, so let the webhook convert the pods";
const KNATIVE: &str = "Knative refuses restartPolicy on a container; leave the template and let the webhook convert \
     the pods, which get its annotations";
const TEKTON: &str = "Tekton builds the pod itself; set its feature flag enable-kubernetes-sidecar to \"true\", and \
     it makes native sidecars of what stands under sidecars";
const ADDED_TO: &str = "the operator adds its own container to the template; write the sidecar under initContainers \
     with restartPolicy: Always";
const RUNTIME_PATCH: &str = "it patches pods of the TrainingRuntime, and its definition drops restartPolicy of init \
     containers; convert the TrainingRuntime";
const KUEUE: &str = "Kueue copies it from the job that it queues; convert that one";
const SIDECAR_SET: &str = "it injects its containers into pods; write them under initContainers with restartPolicy: \
     Always, which OpenKruise injects as native sidecars";
const JOB_FLOW: &str = "it patches tasks of a JobTemplate; convert the JobTemplate";
const RUNNER_LISTENER: &str = "the controller lays it over a pod of its own; write the sidecar under initContainers \
     with restartPolicy: Always";
const FURIKO: &str = "Furiko's types are older than native sidecars and drop restartPolicy, so that the pod would \
     wait for the sidecar's end; let the webhook convert the pods";
const NOTEBOOK: &str = "the definition of notebooks has no annotations in the template and drops restartPolicy of init \
     containers, so that the pod would wait for the sidecar's end; let the webhook convert the pods";
const DASK: &str = "Dask's definition drops restartPolicy of init containers, so that the pod would wait for the \
     sidecar's end; let the webhook convert the pods";
const GROVE: &str = "its pod specs stand in no template with annotations; write the sidecar under initContainers with \
     restartPolicy: Always";
const MERGED_CONTAINERS: &str = "the operator merges containers into those of its own; write the sidecar under \
     initContainers beside them with restartPolicy: Always";
const ELASTIC: &str = "the operator lays the template over a pod of its own; write the sidecar under initContainers \
     with restartPolicy: Always, or let the webhook convert the pods";
const FLINK: &str = "the operator merges the templates of a FlinkDeployment, lists by position; write the sidecar \
     under initContainers with restartPolicy: Always, or let the webhook convert the pods";
const LAID_OVER: &str = "the operator lays the template over a pod of its own; write the sidecar under initContainers \
     with restartPolicy: Always";
const MERGED_INTO_DEPLOYMENT: &str = "the operator merges it into a Deployment of its own; write the sidecar under \
     initContainers with restartPolicy: Always";
const MERGED_INTO_STATEFUL_SET: &str = "the operator merges it into a StatefulSet of its own; write the sidecar under \
     initContainers with restartPolicy: Always";
const STRIMZI: &str = "Strimzi builds the containers itself and takes no others; sidecars come from injectors, so let \
     the webhook convert the pods";
const OPENTELEMETRY: &str = "the operator builds the pod itself; write what stands under spec.additionalContainers \
     under spec.initContainers with restartPolicy: Always";
const NUMAFLOW: &str = "Numaflow builds the pods itself; write what stands under sidecars under initContainers with \
     restartPolicy: Always";
const KSERVE: &str = "KServe lays the containers over those of a runtime and adds its own; let the webhook convert \
     the pods, which get the annotations";
const SELDON: &str = "its pod spec stands in no template with annotations; write the sidecar under initContainers \
     with restartPolicy: Always";
const JENKINS: &str = "the operator builds the pod itself and takes no init containers; let the webhook convert the \
     pods, which get spec.master.annotations";

/// All kinds that are known.
pub const TABLE: &[Engine] = &[
    Engine {
        product: "Kubernetes",
        groups: &[""],
        places: &[
            pod("Pod"),
            makes("PodTemplate", "template", POD_TEMPLATE),
            makes("ReplicationController", "spec.template", REPLICATION_CONTROLLER),
        ],
        source: "k8s.io/api, core/v1",
    },
    Engine {
        product: "Kubernetes",
        groups: &["apps", "extensions"],
        places: &[
            makes("Deployment", "spec.template", REPLICA_SET),
            makes("ReplicaSet", "spec.template", REPLICA_SET),
            makes("DaemonSet", "spec.template", DAEMON_SET),
        ],
        source: "k8s.io/api, apps/v1; extensions/v1beta1 and the betas keep the place",
    },
    Engine {
        product: "Kubernetes",
        groups: &["apps"],
        places: &[makes("StatefulSet", "spec.template", STATEFUL_SET)],
        source: "k8s.io/api, apps/v1; extensions/v1beta1 and the betas keep the place",
    },
    Engine {
        product: "Kubernetes",
        groups: &["batch"],
        places: &[makes("Job", "spec.template", JOB), makes("CronJob", "spec.jobTemplate.spec.template", JOB)],
        source: "k8s.io/api, batch/v1",
    },
    Engine {
        product: "OpenShift",
        groups: &["apps.openshift.io"],
        places: &[makes("DeploymentConfig", "spec.template", REPLICATION_CONTROLLER)],
        source: "openshift/api 2a3d739, apps/v1 and template/v1",
    },
    Engine {
        product: "OpenShift",
        groups: &["template.openshift.io"],
        places: &[holds("Template", "objects[]")],
        source: "openshift/api 2a3d739, apps/v1 and template/v1",
    },
    Engine {
        product: "Argo Rollouts",
        groups: &["argoproj.io"],
        places: &[
            makes("Rollout", "spec.template", REPLICA_SET),
            makes("Experiment", "spec.templates[].template", REPLICA_SET),
            makes("AnalysisTemplate", "spec.metrics[].provider.job.spec.template", JOB),
            makes("ClusterAnalysisTemplate", "spec.metrics[].provider.job.spec.template", JOB),
            makes("AnalysisRun", "spec.metrics[].provider.job.spec.template", JOB),
        ],
        source: "argoproj/argo-rollouts 9f8d111, manifests/crds",
    },
    Engine {
        product: "Argo Workflows",
        groups: &["argoproj.io"],
        places: &[
            left("Workflow", "", ARGO_WORKFLOWS),
            left("CronWorkflow", "", ARGO_WORKFLOWS),
            left("WorkflowTemplate", "", ARGO_WORKFLOWS),
            left("ClusterWorkflowTemplate", "", ARGO_WORKFLOWS),
        ],
        source: "argoproj/argo-workflows f016ad8, pkg/apis/workflow/v1alpha1/workflow_types.go",
    },
    Engine {
        product: "Argo Events",
        groups: &["argoproj.io"],
        places: &[left("EventSource", "", ARGO_EVENTS), left("Sensor", "", ARGO_EVENTS)],
        source: "argoproj/argo-events 6478ece, pkg/apis/events/v1alpha1/template.go",
    },
    Engine {
        product: "Knative Serving",
        groups: &["serving.knative.dev"],
        places: &[
            left("Service", "spec.template", KNATIVE),
            left("Configuration", "spec.template", KNATIVE),
            left("Revision", "", KNATIVE),
        ],
        source: "knative/serving 98e5ef9, pkg/apis/serving/fieldmask.go (ContainerMask lets no restartPolicy pass)",
    },
    Engine {
        product: "KEDA",
        groups: &["keda.sh"],
        places: &[makes("ScaledJob", "spec.jobTargetRef.template", JOB)],
        source: "kedacore/keda 8b4f083, config/crd/bases/keda.sh_scaledjobs.yaml",
    },
    Engine {
        product: "Tekton Pipelines",
        groups: &["tekton.dev"],
        places: &[
            left("Task", "", TEKTON),
            left("TaskRun", "", TEKTON),
            left("Pipeline", "", TEKTON),
            left("PipelineRun", "", TEKTON),
        ],
        source: "tektoncd/pipeline 3ee1745, docs/additional-configs.md",
    },
    Engine {
        product: "Spark operator of Kubeflow",
        groups: &["sparkoperator.k8s.io"],
        places: &[
            makes("SparkApplication", "spec.driver.template", SPARK_APPLICATION),
            makes("SparkApplication", "spec.executor.template", POD),
            makes("ScheduledSparkApplication", "spec.template.driver.template", SPARK_APPLICATION),
            makes("ScheduledSparkApplication", "spec.template.executor.template", POD),
            makes("SparkConnect", "spec.server.template", SPARK_CONNECT),
            makes("SparkConnect", "spec.executor.template", POD),
        ],
        source: "kubeflow/spark-operator 38082f3, charts/spark-operator-chart/crds and submission.go; apache/spark, KubernetesUtils.scala (selectSparkContainer)",
    },
    Engine {
        product: "Spark operator of Apache",
        groups: &["spark.apache.org"],
        places: &[
            makes("SparkApplication", "spec.driverSpec.podTemplateSpec", APACHE_SPARK_APPLICATION),
            makes("SparkApplication", "spec.executorSpec.podTemplateSpec", POD),
            merged("SparkCluster", "spec.masterSpec.statefulSetSpec.template", ADDED_TO),
            merged("SparkCluster", "spec.workerSpec.statefulSetSpec.template", ADDED_TO),
        ],
        source: "apache/spark-kubernetes-operator d5acafd, build-tools/helm/spark-kubernetes-operator/crds and SparkClusterResourceSpec.java",
    },
    Engine {
        product: "KubeRay",
        groups: &["ray.io"],
        places: &[
            makes("RayCluster", "spec.headGroupSpec.template", RAY_CLUSTER),
            makes("RayCluster", "spec.workerGroupSpecs[].template", RAY_CLUSTER),
            makes("RayJob", "spec.rayClusterSpec.headGroupSpec.template", RAY_CLUSTER),
            makes("RayJob", "spec.rayClusterSpec.workerGroupSpecs[].template", RAY_CLUSTER),
            makes("RayJob", "spec.submitterPodTemplate", JOB),
            makes("RayService", "spec.rayClusterConfig.headGroupSpec.template", RAY_CLUSTER),
            makes("RayService", "spec.rayClusterConfig.workerGroupSpecs[].template", RAY_CLUSTER),
            makes("RayCronJob", "spec.jobTemplate.rayClusterSpec.headGroupSpec.template", RAY_CLUSTER),
            makes("RayCronJob", "spec.jobTemplate.rayClusterSpec.workerGroupSpecs[].template", RAY_CLUSTER),
            makes("RayCronJob", "spec.jobTemplate.submitterPodTemplate", JOB),
        ],
        source: "ray-project/kuberay feeaf72, helm-chart/kuberay-operator/crds",
    },
    Engine {
        product: "Kubeflow Training operator",
        groups: &["kubeflow.org"],
        places: &[
            makes("PyTorchJob", "spec.pytorchReplicaSpecs.*.template", PYTORCH_JOB),
            makes("TFJob", "spec.tfReplicaSpecs.*.template", TF_JOB),
            makes("XGBoostJob", "spec.xgbReplicaSpecs.*.template", XGBOOST_JOB),
            makes("PaddleJob", "spec.paddleReplicaSpecs.*.template", PADDLE_JOB),
            makes("JAXJob", "spec.jaxReplicaSpecs.*.template", JAX_JOB),
        ],
        source: "kubeflow/training-operator v1.9.0, manifests/base/crds",
    },
    Engine {
        product: "MPI operator",
        groups: &["kubeflow.org"],
        places: &[
            makes("MPIJob", "spec.mpiReplicaSpecs.Launcher.template", JOB),
            makes("MPIJob", "spec.mpiReplicaSpecs.Worker.template", MPI_JOB),
        ],
        source: "kubeflow/mpi-operator caa3c47, pkg/controller/mpi_job_controller.go (newLauncherJob, newWorker)",
    },
    Engine {
        product: "Kubeflow Trainer",
        groups: &["trainer.kubeflow.org"],
        places: &[
            makes("TrainingRuntime", "spec.template.spec.replicatedJobs[].template.spec.template", JOB),
            makes("ClusterTrainingRuntime", "spec.template.spec.replicatedJobs[].template.spec.template", JOB),
            merged(
                "TrainJob",
                "spec.runtimePatches[].trainingRuntimeSpec.template.spec.replicatedJobs[].template.spec.template",
                RUNTIME_PATCH,
            ),
            merged(
                "OptimizationJob",
                "spec.trainJobTemplate.spec.runtimePatches[].trainingRuntimeSpec.template.spec.replicatedJobs[].template.spec.template",
                RUNTIME_PATCH,
            ),
        ],
        source: "kubeflow/trainer 8c0f505, manifests/base/crds",
    },
    Engine {
        product: "Katib",
        groups: &["kubeflow.org"],
        places: &[holds("Experiment", "spec.trialTemplate.trialSpec")],
        source: "kubeflow/katib 33c8ff4, pkg/apis/controller/experiments/v1beta1/experiment_types.go",
    },
    Engine {
        product: "JobSet",
        groups: &["jobset.x-k8s.io"],
        places: &[makes("JobSet", "spec.replicatedJobs[].template.spec.template", JOB)],
        source: "kubernetes-sigs/jobset 08dfbdf, charts/jobset/crds",
    },
    Engine {
        product: "LeaderWorkerSet",
        groups: &["leaderworkerset.x-k8s.io"],
        places: &[
            makes("LeaderWorkerSet", "spec.leaderWorkerTemplate.leaderTemplate", STATEFUL_SET),
            makes("LeaderWorkerSet", "spec.leaderWorkerTemplate.workerTemplate", STATEFUL_SET),
        ],
        source: "kubernetes-sigs/lws 060ab4d, charts/lws/crds",
    },
    Engine {
        product: "LeaderWorkerSet",
        groups: &["disaggregatedset.x-k8s.io"],
        places: &[
            makes("DisaggregatedSet", "spec.roles[].spec.leaderWorkerTemplate.leaderTemplate", STATEFUL_SET),
            makes("DisaggregatedSet", "spec.roles[].spec.leaderWorkerTemplate.workerTemplate", STATEFUL_SET),
        ],
        source: "kubernetes-sigs/lws 060ab4d, charts/lws/crds",
    },
    Engine {
        product: "Kueue",
        groups: &["kueue.x-k8s.io"],
        places: &[left("Workload", "spec.podSets[].template", KUEUE)],
        source: "kubernetes-sigs/kueue ff69552, config/components/crd/bases",
    },
    Engine {
        product: "OpenKruise",
        groups: &["apps.kruise.io"],
        places: &[
            makes("CloneSet", "spec.template", CLONE_SET),
            makes("StatefulSet", "spec.template", KRUISE_STATEFUL_SET),
            makes("DaemonSet", "spec.template", KRUISE_DAEMON_SET),
            makes("BroadcastJob", "spec.template", BROADCAST_JOB),
            makes("AdvancedCronJob", "spec.template.jobTemplate.spec.template", JOB),
            makes("AdvancedCronJob", "spec.template.broadcastJobTemplate.spec.template", BROADCAST_JOB),
            makes("UnitedDeployment", "spec.template.deploymentTemplate.spec.template", REPLICA_SET),
            makes("UnitedDeployment", "spec.template.statefulSetTemplate.spec.template", STATEFUL_SET),
            makes("UnitedDeployment", "spec.template.advancedStatefulSetTemplate.spec.template", KRUISE_STATEFUL_SET),
            makes("UnitedDeployment", "spec.template.cloneSetTemplate.spec.template", CLONE_SET),
            left("SidecarSet", "", SIDECAR_SET),
        ],
        source: "openkruise/kruise 07169cf, config/crd/bases and go.mod (k8s.io/api v0.32); pkg/control/sidecarcontrol/util.go",
    },
    Engine {
        product: "Volcano",
        groups: &["batch.volcano.sh"],
        places: &[
            makes("Job", "spec.tasks[].template", VOLCANO_JOB),
            makes("CronJob", "spec.jobTemplate.spec.tasks[].template", VOLCANO_JOB),
        ],
        source: "volcano-sh/volcano ed72c7c, config/crd",
    },
    Engine {
        product: "Volcano",
        groups: &["flow.volcano.sh"],
        places: &[
            makes("JobTemplate", "spec.tasks[].template", VOLCANO_JOB),
            merged("JobFlow", "spec.flows[].patch.jobSpec.tasks[].template", JOB_FLOW),
        ],
        source: "volcano-sh/volcano ed72c7c, config/crd",
    },
    Engine {
        product: "GitHub Actions runners",
        groups: &["actions.github.com"],
        places: &[
            makes("AutoscalingRunnerSet", "spec.template", EPHEMERAL_RUNNER),
            merged("AutoscalingRunnerSet", "spec.listenerTemplate", RUNNER_LISTENER),
        ],
        source: "actions/actions-runner-controller 2ee6b3b, charts/gha-runner-scale-set-controller-experimental/crds and resourcebuilder.go (mergeListenerPodWithTemplate)",
    },
    Engine {
        product: "Agones",
        groups: &["agones.dev"],
        places: &[
            makes("GameServer", "spec.template", GAME_SERVER),
            makes("Fleet", "spec.template.spec.template", GAME_SERVER),
            makes("GameServerSet", "spec.template.spec.template", GAME_SERVER),
        ],
        source: "googleforgames/agones b19d5fe, install/yaml/install.yaml; pkg/apis/agones/v1/gameserver.go (Pod)",
    },
    Engine {
        product: "Agent Sandbox",
        groups: &["agents.x-k8s.io"],
        places: &[makes("Sandbox", "spec.podTemplate", SANDBOX)],
        source: "kubernetes-sigs/agent-sandbox 2fd412d, helm/crds",
    },
    Engine {
        product: "Agent Sandbox",
        groups: &["extensions.agents.x-k8s.io"],
        places: &[makes("SandboxTemplate", "spec.podTemplate", SANDBOX)],
        source: "kubernetes-sigs/agent-sandbox 2fd412d, helm/crds",
    },
    Engine {
        product: "Kubeflow Notebooks",
        groups: &["kubeflow.org"],
        places: &[left("Notebook", "spec.template", NOTEBOOK)],
        source: "kubeflow/manifests 009c880, experimental/helm/charts/notebook-controller/crds",
    },
    Engine {
        product: "Furiko",
        groups: &["execution.furiko.io"],
        places: &[
            left("Job", "spec.template.taskTemplate.pod", FURIKO),
            left("JobConfig", "spec.template.spec.taskTemplate.pod", FURIKO),
        ],
        source: "furiko-io/furiko 927154a, go.mod (k8s.io/api v0.23, which has no restartPolicy of containers)",
    },
    Engine {
        product: "Dask",
        groups: &["kubernetes.dask.org"],
        places: &[
            left("DaskCluster", "spec.scheduler", DASK),
            left("DaskCluster", "spec.worker", DASK),
            left("DaskWorkerGroup", "spec.worker", DASK),
            left("DaskJob", "spec.job", DASK),
            left("DaskJob", "spec.cluster.spec.scheduler", DASK),
            left("DaskJob", "spec.cluster.spec.worker", DASK),
        ],
        source: "dask/dask-kubernetes 1daa175, dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds",
    },
    Engine {
        product: "Grove",
        groups: &["grove.io"],
        places: &[left("PodCliqueSet", "", GROVE), left("PodClique", "", GROVE)],
        source: "ai-dynamo/grove fcc3b3b, operator/api/core/v1alpha1/crds",
    },
    Engine {
        product: "Prometheus operator",
        groups: &["monitoring.coreos.com"],
        places: &[
            merged("Prometheus", "", MERGED_CONTAINERS),
            merged("PrometheusAgent", "", MERGED_CONTAINERS),
            merged("Alertmanager", "", MERGED_CONTAINERS),
            merged("ThanosRuler", "", MERGED_CONTAINERS),
        ],
        source: "prometheus-operator/prometheus-operator 6adcebc, pkg/k8s (MergePatchContainers)",
    },
    Engine {
        product: "VictoriaMetrics operator",
        groups: &["operator.victoriametrics.com"],
        places: &[
            merged("VMAgent", "", MERGED_CONTAINERS),
            merged("VMAlert", "", MERGED_CONTAINERS),
            merged("VMAlertmanager", "", MERGED_CONTAINERS),
            merged("VMAuth", "", MERGED_CONTAINERS),
            merged("VMSingle", "", MERGED_CONTAINERS),
            merged("VMCluster", "", MERGED_CONTAINERS),
            merged("VLAgent", "", MERGED_CONTAINERS),
            merged("VLSingle", "", MERGED_CONTAINERS),
            merged("VLCluster", "", MERGED_CONTAINERS),
        ],
        source: "VictoriaMetrics/operator d0d258c, internal/controller/operator/factory/k8stools/client_utils.go (MergePatchContainers)",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["elasticsearch.k8s.elastic.co"],
        places: &[merged("Elasticsearch", "spec.nodeSets[].podTemplate", ELASTIC)],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["kibana.k8s.elastic.co"],
        places: &[merged("Kibana", "spec.podTemplate", ELASTIC)],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["apm.k8s.elastic.co"],
        places: &[merged("ApmServer", "spec.podTemplate", ELASTIC)],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["beat.k8s.elastic.co"],
        places: &[
            merged("Beat", "spec.daemonSet.podTemplate", ELASTIC),
            merged("Beat", "spec.deployment.podTemplate", ELASTIC),
        ],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["agent.k8s.elastic.co"],
        places: &[
            merged("Agent", "spec.daemonSet.podTemplate", ELASTIC),
            merged("Agent", "spec.deployment.podTemplate", ELASTIC),
            merged("Agent", "spec.statefulSet.podTemplate", ELASTIC),
        ],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["logstash.k8s.elastic.co"],
        places: &[merged("Logstash", "spec.podTemplate", ELASTIC)],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["enterprisesearch.k8s.elastic.co"],
        places: &[merged("EnterpriseSearch", "spec.podTemplate", ELASTIC)],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Elastic Cloud on Kubernetes",
        groups: &["maps.k8s.elastic.co"],
        places: &[merged("ElasticMapsServer", "spec.podTemplate", ELASTIC)],
        source: "elastic/cloud-on-k8s 7b93383, pkg/controller/common/defaults/pod_template.go",
    },
    Engine {
        product: "Flink operator",
        groups: &["flink.apache.org"],
        places: &[
            merged("FlinkDeployment", "spec.podTemplate", FLINK),
            merged("FlinkDeployment", "spec.jobManager.podTemplate", FLINK),
            merged("FlinkDeployment", "spec.taskManager.podTemplate", FLINK),
            merged("FlinkBlueGreenDeployment", "spec.template.spec.podTemplate", FLINK),
            merged("FlinkBlueGreenDeployment", "spec.template.spec.jobManager.podTemplate", FLINK),
            merged("FlinkBlueGreenDeployment", "spec.template.spec.taskManager.podTemplate", FLINK),
        ],
        source: "apache/flink-kubernetes-operator 6e9caeb, docs/content/docs/custom-resource/pod-template.md",
    },
    Engine {
        product: "CloudNativePG",
        groups: &["postgresql.cnpg.io"],
        places: &[merged("Pooler", "spec.template", LAID_OVER)],
        source: "cloudnative-pg/cloudnative-pg a95a534, pkg/specs/pgbouncer/deployments.go",
    },
    Engine {
        product: "Grafana operator",
        groups: &["grafana.integreatly.org"],
        places: &[merged("Grafana", "spec.deployment.spec.template", MERGED_INTO_DEPLOYMENT)],
        source: "grafana/grafana-operator 60d3ebd, controllers/reconcilers/grafana/deployment_reconciler.go",
    },
    Engine {
        product: "RabbitMQ",
        groups: &["rabbitmq.com"],
        places: &[merged("RabbitmqCluster", "spec.override.statefulSet.spec.template", MERGED_INTO_STATEFUL_SET)],
        source: "rabbitmq/cluster-operator 06cda8e, internal/resource/statefulset.go",
    },
    Engine {
        product: "MongoDB Community",
        groups: &["mongodbcommunity.mongodb.com"],
        places: &[merged("MongoDBCommunity", "spec.statefulSet.spec.template", MERGED_INTO_STATEFUL_SET)],
        source: "mongodb/mongodb-kubernetes-operator f6a53c9, pkg/util/merge",
    },
    Engine {
        product: "Cassandra",
        groups: &["cassandra.datastax.com"],
        places: &[merged("CassandraDatacenter", "spec.podTemplateSpec", LAID_OVER)],
        source: "k8ssandra/cass-operator d569729, pkg/reconciliation/construct_podtemplatespec.go",
    },
    Engine {
        product: "Strimzi",
        groups: &["kafka.strimzi.io"],
        places: &[
            left("Kafka", "", STRIMZI),
            left("KafkaNodePool", "", STRIMZI),
            left("KafkaConnect", "", STRIMZI),
            left("KafkaMirrorMaker2", "", STRIMZI),
            left("KafkaBridge", "", STRIMZI),
        ],
        source: "strimzi/strimzi-kafka-operator 8541da1, api/src/main/java/io/strimzi/api/kafka/model/common/template/PodTemplate.java",
    },
    Engine {
        product: "OpenTelemetry operator",
        groups: &["opentelemetry.io"],
        places: &[left("OpenTelemetryCollector", "", OPENTELEMETRY)],
        source: "open-telemetry/opentelemetry-operator be89444, apis/v1beta1/common.go",
    },
    Engine {
        product: "Numaflow",
        groups: &["numaflow.numaproj.io"],
        places: &[left("Pipeline", "", NUMAFLOW), left("MonoVertex", "", NUMAFLOW)],
        source: "numaproj/numaflow 63ba4e8, pkg/apis/numaflow/v1alpha1",
    },
    Engine {
        product: "KServe",
        groups: &["serving.kserve.io"],
        places: &[
            left("InferenceService", "", KSERVE),
            left("ServingRuntime", "", KSERVE),
            left("ClusterServingRuntime", "", KSERVE),
            left("LLMInferenceService", "", KSERVE),
            left("LLMInferenceServiceConfig", "", KSERVE),
        ],
        source: "kserve/kserve aaac4e2, config/crd/full",
    },
    Engine {
        product: "Seldon Core",
        groups: &["mlops.seldon.io"],
        places: &[left("ServerConfig", "", SELDON)],
        source: "SeldonIO/seldon-core 7b77f8b, k8s/helm-charts/seldon-core-v2-crds",
    },
    Engine {
        product: "Jenkins operator",
        groups: &["jenkins.io"],
        places: &[left("Jenkins", "", JENKINS)],
        source: "jenkinsci/kubernetes-operator ce17cbd, chart/jenkins-operator/crds/jenkins-crd.yaml",
    },
    Engine {
        product: "Open Cluster Management",
        groups: &["work.open-cluster-management.io"],
        places: &[
            holds("ManifestWork", "spec.workload.manifests[]"),
            holds("ManifestWorkReplicaSet", "spec.manifestWorkTemplate.workload.manifests[]"),
        ],
        source: "open-cluster-management-io/api 1845fd8, work/v1, work/v1alpha1 and addon/v1alpha1",
    },
    Engine {
        product: "Open Cluster Management",
        groups: &["addon.open-cluster-management.io"],
        places: &[holds("AddOnTemplate", "spec.agentSpec.workload.manifests[]")],
        source: "open-cluster-management-io/api 1845fd8, work/v1, work/v1alpha1 and addon/v1alpha1",
    },
    Engine {
        product: "Crossplane",
        groups: &["kubernetes.crossplane.io", "kubernetes.m.crossplane.io"],
        places: &[holds("Object", "spec.forProvider.manifest")],
        source: "crossplane-contrib/provider-kubernetes 350ef9a, package/crds",
    },
    Engine {
        product: "Karmada",
        groups: &["work.karmada.io"],
        places: &[holds("Work", "spec.workload.manifests[]")],
        source: "karmada-io/api cc10b87, work/v1alpha1",
    },
];

const fn pod(kind: &'static str) -> Place {
    Place { kind, path: "", treatment: Treatment::Pod }
}

const fn makes(kind: &'static str, path: &'static str, owner: PodOwner) -> Place {
    Place { kind, path, treatment: Treatment::Converted(owner) }
}

const fn left(kind: &'static str, path: &'static str, reason: &'static str) -> Place {
    Place { kind, path, treatment: Treatment::Left(reason) }
}

const fn merged(kind: &'static str, path: &'static str, reason: &'static str) -> Place {
    Place { kind, path, treatment: Treatment::Merged(reason) }
}

const fn holds(kind: &'static str, path: &'static str) -> Place {
    Place { kind, path, treatment: Treatment::Holds }
}

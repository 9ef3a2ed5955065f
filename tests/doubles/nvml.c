/* A stand-in for NVIDIA's management library, so that what asks it finds GPUs on a machine without any.
 *
 *     cc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 -o libnvidia-ml.so.1 nvml.c
 *
 * NVML_DOUBLE_DEVICES says how many there are (2), NVML_DOUBLE_MEMORY the bytes of each (16 GiB). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };
enum { MOST_DEVICES = 16 };

typedef int result;
typedef struct { unsigned index; } device;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned gpu, memory; } utilization;

static device devices[MOST_DEVICES];

static unsigned long long setting(const char *name, unsigned long long otherwise) {
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

static unsigned count(void) {
    unsigned long long number = setting("NVML_DOUBLE_DEVICES", 2);
    return number < MOST_DEVICES ? (unsigned)number : MOST_DEVICES;
}

static void write_uuid(unsigned index, char *text, unsigned size) {
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012u", index);
}

result nvmlInit_v2(void) { return SUCCESS; }
result nvmlInitWithFlags(unsigned flags) { (void)flags; return SUCCESS; }
result nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(result code) { return code == SUCCESS ? "Success" : "Not available in this double"; }

result nvmlSystemGetDriverVersion(char *text, unsigned size) {
    snprintf(text, size, "999.00");
    return SUCCESS;
}

result nvmlDeviceGetCount_v2(unsigned *number) {
    *number = count();
    return SUCCESS;
}

result nvmlDeviceGetHandleByIndex_v2(unsigned index, device **found) {
    if (index >= count()) return INVALID_ARGUMENT;
    devices[index].index = index;
    *found = &devices[index];
    return SUCCESS;
}

result nvmlDeviceGetHandleByUUID(const char *wanted, device **found) {
    char uuid[96];
    for (unsigned index = 0; index < count(); index++) {
        write_uuid(index, uuid, sizeof uuid);
        if (strcmp(uuid, wanted) == 0) return nvmlDeviceGetHandleByIndex_v2(index, found);
    }
    return NOT_FOUND;
}

result nvmlDeviceGetUUID(device *of, char *text, unsigned size) {
    write_uuid(of->index, text, size);
    return SUCCESS;
}

result nvmlDeviceGetIndex(device *of, unsigned *index) {
    *index = of->index;
    return SUCCESS;
}

result nvmlDeviceGetName(device *of, char *text, unsigned size) {
    snprintf(text, size, "GPU double %u", of->index);
    return SUCCESS;
}

result nvmlDeviceGetMemoryInfo(device *of, memory *found) {
    (void)of;
    found->total = setting("NVML_DOUBLE_MEMORY", 16ULL << 30);
    found->used = 512ULL << 20;
    found->free = found->total - found->used;
    return SUCCESS;
}

result nvmlDeviceGetUtilizationRates(device *of, utilization *found) {
    (void)of;
    found->gpu = found->memory = 0;
    return SUCCESS;
}

/* Each device is near one CPU: the one of its number, modulo the first two. */
result nvmlDeviceGetCpuAffinity(device *of, unsigned words, unsigned long *mask) {
    memset(mask, 0, words * sizeof *mask);
    mask[0] = 1UL << (of->index % 2);
    return SUCCESS;
}

result nvmlDeviceGetMigMode(device *of, unsigned *current, unsigned *pending) {
    (void)of; (void)current; (void)pending;
    return NOT_SUPPORTED;
}

result nvmlDeviceIsMigDeviceHandle(device *of, unsigned *answer) {
    (void)of;
    *answer = 0;
    return SUCCESS;
}

static result no_processes(unsigned *number) {
    *number = 0;
    return SUCCESS;
}

result nvmlDeviceGetComputeRunningProcesses_v2(device *of, unsigned *number, void *found) {
    (void)of; (void)found;
    return no_processes(number);
}

result nvmlDeviceGetComputeRunningProcesses_v3(device *of, unsigned *number, void *found) {
    (void)of; (void)found;
    return no_processes(number);
}

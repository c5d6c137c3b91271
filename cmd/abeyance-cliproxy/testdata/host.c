/* A small host: it loads the plugin as CLIProxyAPI does and drives it from several
 * threads. It prints what it measured, and exits with 1 and a message at the first
 * answer that is not right.
 *
 *   host LIBRARY CONFIG BAD OBSERVE [leak]
 *
 * The configurations are in base64: one that is right, one that is not, and the right
 * one in the mode observe. With leak it does not free the answers, so that a test can
 * see that it would see a leak.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct { void *ptr; size_t len; } buffer;

typedef struct {
	uint32_t abi_version;
	void *ctx;
	int (*call)(void *, const char *, const uint8_t *, size_t, buffer *);
	void (*free_buffer)(void *, size_t);
} host_api;

typedef struct {
	uint32_t abi_version;
	int (*call)(const char *, const uint8_t *, size_t, buffer *);
	void (*free_buffer)(void *, size_t);
	void (*shutdown)(void);
} plugin_api;

typedef int (*init_fn)(const host_api *, plugin_api *);

enum { THREADS = 8, PICKS = 10000, CALLS = 100000, CANDIDATES = 60, TIMED = 5000 };

static plugin_api plugin;
static int leak;

static void die(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	exit(1);
}

/* The host's log: what the plugin wrote to it. */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[1 << 20];
static size_t log_len;

static int host_call(void *ctx, const char *method, const uint8_t *request, size_t len, buffer *response)
{
	static const char answer[] = "{\"ok\":true,\"result\":{}}";
	if (*(int *)ctx != 42)
		die("the host's context was not passed on");
	if (strcmp(method, "host.log") != 0)
		die("the plugin called %s", method);
	pthread_mutex_lock(&log_lock);
	if (log_len + len + 2 < sizeof log_text) {
		memcpy(log_text + log_len, request, len);
		log_len += len;
		log_text[log_len++] = '\n';
		log_text[log_len] = 0;
	}
	pthread_mutex_unlock(&log_lock);
	response->len = sizeof answer - 1;
	response->ptr = malloc(response->len);
	memcpy(response->ptr, answer, response->len);
	return 0;
}

static void host_free(void *ptr, size_t len) { (void)len; free(ptr); }

static int logged(const char *text)
{
	pthread_mutex_lock(&log_lock);
	int found = strstr(log_text, text) != NULL;
	pthread_mutex_unlock(&log_lock);
	return found;
}

/* Calls. */

/* call returns the answer as a text of the caller's, NULL if the status is not 0. */
static char *call(const char *method, const char *request)
{
	buffer b = {0};
	if (plugin.call(method, (const uint8_t *)request, request ? strlen(request) : 0, &b) != 0) {
		if (b.ptr)
			plugin.free_buffer(b.ptr, b.len);
		return NULL;
	}
	char *text = malloc(b.len + 1);
	memcpy(text, b.ptr, b.len);
	text[b.len] = 0;
	if (!leak)
		plugin.free_buffer(b.ptr, b.len);
	return text;
}

/* want calls, and dies unless the answer holds a text. */
static void want(const char *method, const char *request, const char *part)
{
	char *text = call(method, request);
	if (text == NULL || strstr(text, part) == NULL)
		die("%s %.300s\nanswered %.2000s\nwithout %s", method, request ? request : "(nothing)", text ? text : "(nothing)", part);
	free(text);
}

/* soon is want for what takes a moment. */
static void soon(const char *method, const char *request, const char *part)
{
	for (int i = 0; i < 1500; i++) {
		char *text = call(method, request);
		int found = text != NULL && strstr(text, part) != NULL;
		free(text);
		if (found)
			return;
		usleep(20000);
	}
	want(method, request, part);
}

static void base64(const char *in, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(in);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint8_t)in[i] << 16;
		v |= i + 1 < n ? (uint8_t)in[i + 1] << 8 : 0;
		v |= i + 2 < n ? (uint8_t)in[i + 2] : 0;
		*out++ = digits[v >> 18 & 63];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = 0;
}

static const char *manage(const char *method, const char *path, const char *body)
{
	static _Thread_local char request[8192];
	char encoded[4096];
	base64(body, encoded);
	snprintf(request, sizeof request,
		"{\"Method\":\"%s\",\"Path\":\"/v0/management/%s\",\"Headers\":{\"Content-Type\":[\"application/json\"],"
		"\"Authorization\":[\"Bearer the-management-key\"]},\"Query\":{},\"Body\":\"%s\",\"host_callback_id\":\"c1\"}",
		method, path, encoded);
	return request;
}

/* did carries out a management request that must succeed. */
static void did(const char *method, const char *path, const char *body)
{
	want("management.handle", manage(method, path, body), "\"StatusCode\":200");
}

/* pick_request offers accounts from..to-1 for a model, as the host writes it. */
static char *pick_request(const char *model, int from, int to)
{
	size_t room = 4096 + 512 * (size_t)(to - from);
	char *text = malloc(room), *at = text;
	at += snprintf(at, room, "{\"Plugin\":{\"Name\":\"abeyance\",\"Version\":\"0.0.0-dev\",\"Author\":\"abeyance\","
		"\"GitHubRepository\":\"https://github.com/abeyance/abeyance\",\"Logo\":\"\",\"ConfigFields\":null},"
		"\"Provider\":\"antigravity\",\"Providers\":[\"antigravity\"],\"Model\":\"%s\",\"Stream\":true,"
		"\"Options\":{\"Headers\":{\"Accept\":[\"text/event-stream\"],\"User-Agent\":[\"curl/8.0\"]},"
		"\"Metadata\":{\"requested_model\":\"%s\",\"nested\":{\"a\":[1,2.5e3,true,null]}}},\"Candidates\":[", model, model);
	for (int i = from; i < to; i++)
		at += snprintf(at, room - (size_t)(at - text), "%s{\"ID\":\"antigravity-u%03d@example.com.json\",\"Provider\":\"antigravity\","
			"\"Priority\":0,\"Status\":\"active\",\"Attributes\":{\"path\":\"/root/.cli-proxy-api/antigravity-u%03d@example.com.json\","
			"\"source\":\"/root/.cli-proxy-api/antigravity-u%03d@example.com.json\",\"auth_kind\":\"oauth\"},\"Metadata\":null}",
			i == from ? "" : ",", i, i, i);
	snprintf(at, room - (size_t)(at - text), "]}");
	return text;
}

/* usage_request tells how a request of an account went; a 429 spends its quota. */
static const char *usage_request(int account, const char *model, int status)
{
	static _Thread_local char request[4096];
	char began[64];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct tm tm;
	gmtime_r(&now.tv_sec, &tm);
	strftime(began, sizeof began, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(request, sizeof request,
		"{\"Provider\":\"antigravity\",\"ExecutorType\":\"AntigravityExecutor\",\"Model\":\"%s\",\"Alias\":\"\",\"APIKey\":\"sk-client\","
		"\"AuthID\":\"antigravity-u%03d@example.com.json\",\"AuthIndex\":\"7\",\"AuthType\":\"oauth\",\"Source\":\"u%03d@example.com\","
		"\"Generate\":true,\"RequestedAt\":\"%s.%09ldZ\",\"Latency\":1500000,\"TTFT\":0,\"Failed\":%s,\"Failure\":{\"StatusCode\":%d,"
		"\"Body\":\"%s\"},\"Detail\":{\"InputTokens\":1},\"ResponseHeaders\":{\"Content-Type\":[\"application/json\"]}}",
		model, account, account, began, now.tv_nsec, status == 200 ? "false" : "true", status == 200 ? 0 : status,
		status == 200 ? "" : "{\\\"error\\\":{\\\"code\\\":429,\\\"message\\\":\\\"You have exhausted your capacity on this model. Your quota will reset after 1h0m0s.\\\","
		"\\\"status\\\":\\\"RESOURCE_EXHAUSTED\\\",\\\"details\\\":[{\\\"@type\\\":\\\"type.googleapis.com/google.rpc.RetryInfo\\\",\\\"retryDelay\\\":\\\"3600s\\\"}]}}");
	return request;
}

static char *lifecycle(const char *config)
{
	size_t room = strlen(config) + 64;
	char *text = malloc(room);
	snprintf(text, room, "{\"config_yaml\":\"%s\",\"schema_version\":3}", config);
	return text;
}

static const char *opus = "claude-opus-4-6-thinking", *sonnet = "claude-sonnet-4-6(8192)", *pro = "gemini-3-pro-preview";

/* worker picks and reports from its own thread: account 0 must never be picked for the
 * family that it has no quota for. */
static void *worker(void *arg)
{
	int number = (int)(intptr_t)arg;
	char *claude = pick_request(number % 2 ? opus : sonnet, 0, 8), *gemini = pick_request(pro, 0, 4);
	for (int i = 0; i < PICKS / THREADS; i++) {
		char *text = call("scheduler.pick", claude);
		if (text == NULL || strstr(text, "\"Handled\":true") == NULL || strstr(text, "antigravity-u") == NULL || strstr(text, "u000@") != NULL)
			die("a pick of the blocked family answered %s", text ? text : "(nothing)");
		free(text);
		if (i % 10 == 0)
			want("scheduler.pick", gemini, "\"Handled\":false");
		if (i % 5 == 0) /* new limits of another account, and successes that change nothing */
			want("usage.handle", i % 10 == 0 ? usage_request(number, "gemini-3-flash", 429) : usage_request(number, pro, 200), "\"ok\":true");
		if (i % 50 == 0)
			did("GET", "auth-files/quota-groups", "");
	}
	free(claude);
	free(gemini);
	return NULL;
}

static long rss_kib(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f == NULL || fscanf(f, "%ld %ld", &pages, &resident) != 2)
		die("/proc/self/statm cannot be read");
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void mixed_calls(int n)
{
	char *free_pick = pick_request(pro, 20, 30), *blocked_pick = pick_request(opus, 0, 10);
	for (int i = 0; i < n; i++) {
		switch (i % 10) {
		case 0: free(call("management.handle", manage("GET", "auth-files/quota-groups", ""))); break;
		case 1: free(call("usage.handle", usage_request(1, pro, 200))); break;
		case 2: free(call("scheduler.pick", "{\"Candidates\":[{")); break;
		case 3: free(call("no.such.method", "{}")); break;
		case 4: case 5: case 6: free(call("scheduler.pick", free_pick)); break;
		default: free(call("scheduler.pick", blocked_pick)); break;
		}
	}
	free(free_pick);
	free(blocked_pick);
}

static int longer(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void time_picks(void)
{
	static double took[TIMED];
	char *request = pick_request(opus, 0, CANDIDATES);
	soon("scheduler.pick", request, "\"Handled\":true");
	for (int i = 0; i < TIMED; i++) {
		struct timespec a, b;
		clock_gettime(CLOCK_MONOTONIC, &a);
		char *text = call("scheduler.pick", request);
		clock_gettime(CLOCK_MONOTONIC, &b);
		free(text);
		took[i] = (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
	}
	qsort(took, TIMED, sizeof took[0], longer);
	printf("pick_us p50=%.1f p99=%.1f bytes=%zu\n", took[TIMED / 2], took[TIMED * 99 / 100], strlen(request));
	printf("pick_request %s\n", request);
	free(request);
}

static void malformed(void)
{
	static const char *methods[] = {"plugin.reconfigure", "scheduler.pick", "usage.handle", "management.handle"};
	static const char *documents[] = {"{", "[]", "\"", "{\"config_yaml\":1,\"Model\":1,\"Failed\":3,\"Body\":7}", "{\"a\":\xff", "nul", "{}{}", "\xde\xad\xbe\xef"};
	for (size_t m = 0; m < sizeof methods / sizeof *methods; m++)
		for (size_t d = 0; d < sizeof documents / sizeof *documents; d++)
			want(methods[m], documents[d], "\"ok\":false");
	want("scheduler.pick", NULL, "\"ok\":false");
	want("no.such.method", "{}", "\"unknown_method\"");
	buffer b = {0};
	if (plugin.call(NULL, NULL, 0, &b) == 0 || plugin.call("scheduler.pick", NULL, 0, NULL) == 0)
		die("a call without a method, or without room for an answer, succeeded");
}

int main(int argc, char **argv)
{
	if (argc < 5)
		die("usage: host LIBRARY CONFIG BAD OBSERVE [leak]");
	leak = argc > 5 && strcmp(argv[5], "leak") == 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		die("dlopen: %s", dlerror());
	init_fn init = (init_fn)dlsym(library, "cliproxy_plugin_init");
	if (init == NULL)
		die("dlsym: %s", dlerror());
	int mark = 42;
	host_api host = {1, &mark, host_call, host_free};
	if (init(&host, &plugin) != 0 || plugin.abi_version != 1 || !plugin.call || !plugin.free_buffer || !plugin.shutdown)
		die("init failed");

	char *config = lifecycle(argv[2]), *bad = lifecycle(argv[3]), *observe = lifecycle(argv[4]);
	char *claude = pick_request(opus, 0, 8), *alone = pick_request(sonnet, 0, 1), *gemini = pick_request(pro, 0, 8);

	/* Before it is registered, and with a configuration that is wrong from the start. */
	want("scheduler.pick", claude, "\"Handled\":false");
	want("plugin.register", bad, "\"code\":\"invalid_config\"");
	want("plugin.register", config, "\"schema_version\":1");
	want("management.register", "{\"BasePath\":\"/v0/management\"}", "/v0/management/auth-files/quota-groups/manual");

	/* Nothing is blocked: all is left to the host, and the accounts are learnt. */
	want("scheduler.pick", claude, "\"Handled\":false");
	soon("management.handle", manage("GET", "abeyance/accounts", ""), "\"StatusCode\":200");
	for (int i = 0; i < 500 && !logged("the log is open"); i++)
		usleep(10000);

	if (leak) {
		mixed_calls(CALLS / 10);
		long before = rss_kib();
		mixed_calls(CALLS);
		printf("rss_kib before=%ld after=%ld calls=%d\n", before, rss_kib(), CALLS);
		plugin.shutdown();
		return 0;
	}

	/* One 429 of a family moves all its models, and no other. */
	want("usage.handle", usage_request(0, opus, 429), "\"ok\":true");
	soon("scheduler.pick", claude, "\"Handled\":true");
	soon("scheduler.pick", alone, "\"http_status\":429");
	want("scheduler.pick", alone, "all_cooling");
	want("scheduler.pick", alone, "retry after");
	want("scheduler.pick", gemini, "\"Handled\":false");

	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, worker, (void *)(intptr_t)i) != 0)
			die("pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("threads=%d picks=%d\n", THREADS, PICKS);

	/* By hand, over the host's management API. */
	char *second = pick_request(opus, 0, 2);
	did("PATCH", "auth-files/quota-groups/manual", "{\"auth_id\":\"antigravity-u001@example.com.json\",\"group_id\":\"claude\",\"manual_suspended\":true,\"reason\":\"by the C host\"}");
	want("scheduler.pick", second, "\"http_status\":429");
	did("PATCH", "auth-files/quota-groups/manual", "{\"auth_id\":\"antigravity-u001@example.com.json\",\"group_id\":\"claude\",\"manual_suspended\":false}");
	want("scheduler.pick", second, "u001@");
	did("PATCH", "auth-files/quota-groups/auto/clear", "{\"auth_id\":\"antigravity-u000@example.com.json\",\"group_id\":\"claude\"}");
	want("scheduler.pick", second, "\"Handled\":false");
	char *history = call("management.handle", manage("GET", "abeyance/events", ""));
	if (history == NULL || strstr(history, "\"Body\":\"") == NULL)
		die("no history: %s", history ? history : "(nothing)");
	printf("history %s\n", history);
	free(history);
	want("management.handle", manage("GET", "abeyance/no-such", ""), "\"StatusCode\":404");
	want("management.handle", manage("PATCH", "auth-files/quota-groups/manual", "{"), "\"StatusCode\":400");
	want("management.handle", "{\"Method\":\"GET\",\"Path\":\"/v0/resource/plugins/abeyance/quota\"}", "Content-Security-Policy");
	want("management.handle", "{\"Method\":\"GET\",\"Path\":\"/v0/resource/plugins/abeyance/../../secret\"}", "\"StatusCode\":404");

	malformed();

	/* Configurations. */
	want("usage.handle", usage_request(0, opus, 429), "\"ok\":true");
	soon("scheduler.pick", second, "u001@");
	want("plugin.reconfigure", bad, "\"schema_version\":1");
	want("scheduler.pick", second, "u001@");
	want("plugin.reconfigure", observe, "\"schema_version\":1");
	want("scheduler.pick", second, "\"Handled\":false");
	want("plugin.reconfigure", config, "\"schema_version\":1");
	want("scheduler.pick", second, "u001@");

	time_picks();

	mixed_calls(CALLS / 10);
	long before = rss_kib();
	mixed_calls(CALLS);
	printf("rss_kib before=%ld after=%ld calls=%d\n", before, rss_kib(), CALLS);

	/* Again in the same process: a Go library stays loaded. */
	plugin.shutdown();
	if (!logged("stays in force"))
		die("the host's log does not say that a configuration was wrong:\n%s", log_text);
	if (strstr(log_text, "@example.com") != NULL)
		die("an e-mail address is in the host's log");
	buffer b = {0};
	if (plugin.call("scheduler.pick", (const uint8_t *)second, strlen(second), &b) == 0)
		die("a call after the shutdown succeeded");
	dlclose(library);
	library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	init = (init_fn)dlsym(library, "cliproxy_plugin_init");
	memset(&plugin, 0, sizeof plugin);
	if (init(&host, &plugin) != 0)
		die("the second init failed");
	want("plugin.register", config, "\"schema_version\":1");
	want("scheduler.pick", second, "u001@"); /* still blocked: it is in the log */
	want("plugin.shutdown", "{}", "\"ok\":true");
	want("scheduler.pick", second, "\"Handled\":false");
	want("plugin.register", config, "\"schema_version\":1");
	want("scheduler.pick", second, "u001@");
	plugin.shutdown();
	printf("done\n");
	return 0;
}

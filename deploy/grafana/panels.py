"""What the dashboard shows: rows of panels, each with its PromQL.

`$job` and `$model` are the dashboard's variables, `$__rate_interval` and `$__range` are Grafana's.
"""

from dataclasses import dataclass

M = 'job=~"$job", model_name=~"$model"'
RATE = "[$__rate_interval]"
HEIGHT = {"stat": 4, "lines": 8, "table": 4}
"""Of a panel, by its kind, in Grafana's grid."""


@dataclass(frozen=True)
class Query:
    """One expression and the name of its lines."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel.

    unit: of Grafana's units.
    kind: `stat` shows the last value large, `lines` all of them over time, `table` labels.
    width: in columns; a row has 24.
    stacked: whether lines add up.
    signed: whether values below zero make sense.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "lines"
    width: int = 8
    stacked: bool = False
    signed: bool = False


@dataclass(frozen=True)
class Row:
    """A titled row of panels."""

    title: str
    panels: tuple[Panel, ...]


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Events per second, summed over servers."""
    labels = f"{M}, {where}" if where else M
    return f"sum by ({by}) (rate({metric}{{{labels}}}{RATE}))"


def share(part: str, whole: str) -> str:
    """`part` of `whole`, as a fraction; no point where nothing happened."""
    return f"{part} / ({whole} > 0)"


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    """A quantile of a histogram, in its own unit."""
    labels = f"{M}, {where}" if where else M
    groups = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({groups}) (rate({metric}_bucket{{{labels}}}{RATE})))"


def quantiles(metric: str, what: str = "", by: str = "", where: str = "") -> tuple[Query, ...]:
    """Median and 95th percentile."""
    label = f"{{{{{by}}}}} " if by else f"{what} " if what else ""
    return tuple(
        Query(quantile(q, metric, by, where), f"{label}p{round(100 * q)}") for q in (0.5, 0.95)
    )


def mean(metric: str) -> str:
    """Mean of a histogram or summary, in its own unit."""
    return share(rate(f"{metric}_sum"), rate(f"{metric}_count"))


def increase(metric: str, where: str = "") -> str:
    """Events in the time range on the screen."""
    labels = f"{M}, {where}" if where else M
    return f"sum(increase({metric}{{{labels}}}[$__range]))"


TOKENS = "metacompress_image_tokens_total"
IMAGES = "metacompress_images_total"
ORIGINAL, KEPT = 'stage="original"', 'stage="kept"'
TURN_TTFT = "metacompress_turn_time_to_first_token_seconds"
WITH_PICTURES = 'pictures!="none"'
COMPARED = 'pictures=~"compressed|bypassed"'

OVERVIEW = Row(
    "Overview",
    (
        Panel(
            "Visual tokens kept",
            "Visual tokens that the language model saw, of those that the vision tower made.",
            "percentunit",
            (Query(f"{increase(TOKENS, KEPT)} / {increase(TOKENS, ORIGINAL)}", "kept"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Visual tokens avoided",
            "Tokens of pictures that never reached the language model, in the time range shown.",
            "short",
            (Query(f"{increase(TOKENS, ORIGINAL)} - {increase(TOKENS, KEPT)}", "avoided"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Visual KV held and avoided",
            "Keys and values of live sessions' pictures, and what compression took off.",
            "bytes",
            (
                Query(f"sum(metacompress_session_visual_kv_bytes{{{M}}})", "held"),
                Query(f"sum(metacompress_session_visual_kv_avoided_bytes{{{M}}})", "avoided"),
            ),
            kind="stat",
            width=5,
        ),
        Panel(
            "Sessions",
            "Live chat sessions.",
            "short",
            (Query(f"sum(metacompress_sessions_active{{{M}}})", "active"),),
            kind="stat",
            width=3,
        ),
        Panel(
            "Time to first token, p95",
            "Requests with pictures: a session's first turn, and later turns, which reuse them.",
            "s",
            (
                Query(
                    quantile(0.95, TURN_TTFT, where=f'turn="first", {WITH_PICTURES}'), "first turn"
                ),
                Query(
                    quantile(0.95, TURN_TTFT, where=f'turn="later", {WITH_PICTURES}'), "later turns"
                ),
            ),
            kind="stat",
            width=5,
        ),
        Panel(
            "Server errors",
            "Share of answers with status 5xx.",
            "percentunit",
            (Query('max(job:http_requests_5xx:ratio_rate5m{job=~"$job"})', "5xx"),),
            kind="stat",
            width=3,
        ),
        Panel(
            "Visual tokens per second",
            "As the vision tower makes them, and as kept: the space between the lines is saved.",
            "short",
            (
                Query(rate(TOKENS, where=ORIGINAL), "original"),
                Query(rate(TOKENS, where=KEPT), "kept"),
            ),
            width=12,
        ),
        Panel(
            "Visual tokens avoided per second",
            "Original less kept.",
            "short",
            (Query(f"{rate(TOKENS, where=ORIGINAL)} - {rate(TOKENS, where=KEPT)}", "avoided"),),
            width=12,
        ),
    ),
)

COMPRESSION = Row(
    "Compression",
    (
        Panel(
            "Pictures",
            "Per second: compressed, found in a cache, let through whole, refused.",
            "short",
            (Query(rate(IMAGES, "result"), "{{result}}"),),
            stacked=True,
        ),
        Panel(
            "Compression",
            "The mapping from n to m tokens, per batch of pictures.",
            "s",
            quantiles("metacompress_compress_seconds"),
        ),
        Panel(
            "Encoding",
            "Vision tower and projector, per batch of pictures.",
            "s",
            quantiles("metacompress_image_encode_seconds"),
        ),
        Panel(
            "Kept share of the visual tokens",
            "What pictures kept: `detail` and bypass move it away from what is configured.",
            "percentunit",
            (
                Query(share(rate(TOKENS, where=KEPT), rate(TOKENS, where=ORIGINAL)), "seen"),
                Query(
                    f"avg(model:metacompress_image_tokens_kept:ratio_rate5m{{{M}}})", "last 5 min"
                ),
            ),
        ),
        Panel(
            "Vision tower runs",
            "Pictures per second that had to be encoded.",
            "short",
            (Query(rate("metacompress_vision_tower_runs_total"), "runs"),),
        ),
        Panel(
            "Pictures reused",
            "Share of pictures that needed no run of the vision tower.",
            "percentunit",
            (
                Query(
                    share(
                        rate(IMAGES, where='result="reused"'),
                        rate(IMAGES, where='result!="rejected"'),
                    ),
                    "reused",
                ),
            ),
        ),
        Panel(
            "What is served",
            "Version, digest of the compressor, and m / n as configured.",
            "short",
            (
                Query(
                    "count by (model_name, version, compressor, ratio) "
                    f"(metacompress_build_info{{{M}}})",
                    "{{model_name}} {{version}}, compressor {{compressor}}, ratio {{ratio}}",
                ),
            ),
            kind="table",
            width=24,
        ),
    ),
)

SESSIONS = Row(
    "Sessions",
    (
        Panel(
            "Live sessions",
            "Sessions known to the server.",
            "short",
            (Query(f"sum(metacompress_sessions_active{{{M}}})", "active"),),
        ),
        Panel(
            "Session lookups",
            "Turns per second whose session was found, was new, or had expired.",
            "short",
            (Query(rate("metacompress_session_lookups_total", "result"), "{{result}}"),),
            stacked=True,
        ),
        Panel(
            "Sessions ended",
            "Per second, by reason.",
            "short",
            (Query(rate("metacompress_session_evictions_total", "reason"), "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Turns per session",
            "Mean over sessions that ended.",
            "short",
            (Query(mean("metacompress_session_turns"), "mean"),),
        ),
        Panel(
            "Life of a session",
            "From first to last turn, of sessions that ended.",
            "s",
            quantiles("metacompress_session_duration_seconds"),
        ),
        Panel(
            "Uploads avoided",
            "Pictures per second that the server knew already and that nobody had to send.",
            "short",
            (Query(rate("metacompress_image_uploads_avoided_total"), "avoided"),),
        ),
    ),
)

KV = Row(
    "KV and cache hits",
    (
        Panel(
            "Visual KV of sessions",
            "Keys and values for pictures of live sessions: held, and avoided by compression.",
            "bytes",
            (
                Query(f"sum(metacompress_session_visual_kv_bytes{{{M}}})", "held"),
                Query(f"sum(metacompress_session_visual_kv_avoided_bytes{{{M}}})", "avoided"),
            ),
            stacked=True,
        ),
        Panel(
            "Cache hits by layer",
            "Hits per query: decoded pictures, prompt tokens found as KV; pictures without a run.",
            "percentunit",
            (
                Query(
                    share(rate("vllm:mm_cache_hits_total"), rate("vllm:mm_cache_queries_total")),
                    "processor",
                ),
                Query(
                    share(
                        rate("vllm:prefix_cache_hits_total"),
                        rate("vllm:prefix_cache_queries_total"),
                    ),
                    "prefix",
                ),
                Query(
                    share(
                        rate(IMAGES, where='result="reused"'),
                        rate(IMAGES, where='result!="rejected"'),
                    ),
                    "pictures",
                ),
            ),
        ),
        Panel(
            "Pictures found, by layer",
            "Per second: as KV in the prefix, in the engine's encoder cache, in the tier below it.",
            "short",
            (Query(rate("metacompress_image_cache_hits_total", "layer"), "{{layer}}"),),
            stacked=True,
        ),
        Panel(
            "Prompt tokens found, by layer",
            "Per second: KV on the GPU, brought back from host memory, from disk.",
            "short",
            (Query(rate("metacompress_cached_prompt_tokens_total", "layer"), "{{layer}}"),),
            stacked=True,
        ),
        Panel(
            "Tiers below the GPU",
            "Bytes held: KV in host memory and on disk, compressed pictures.",
            "bytes",
            (Query(f"sum by (tier) (metacompress_tier_bytes{{{M}}})", "{{tier}}"),),
            stacked=True,
        ),
        Panel(
            "Blocks that tiers let go",
            "Per second, by reason.",
            "short",
            (Query(rate("metacompress_session_kv_evictions_total", "reason"), "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "KV cache in use",
            "Share of the engine's KV blocks.",
            "percentunit",
            (Query(f"max(vllm:kv_cache_usage_perc{{{M}}})", "in use"),),
            width=12,
        ),
        Panel(
            "Preemptions",
            "Requests per second that lost their KV blocks to others.",
            "short",
            (Query(rate("vllm:num_preemptions_total"), "preemptions"),),
            width=12,
        ),
    ),
)

LATENCY = Row(
    "Latency",
    (
        Panel(
            "Time to first token by turn",
            "Requests with pictures.",
            "s",
            quantiles(TURN_TTFT, by="turn", where=WITH_PICTURES),
        ),
        Panel(
            "Time to first token: compressed and bypassed",
            "Median. Only where --bypass-share is on: a drawn share of the dialogues keeps all its "
            "visual tokens, so the two are a fair comparison.",
            "s",
            (
                Query(
                    quantile(0.5, TURN_TTFT, by="turn, pictures", where=COMPARED),
                    "{{turn}}, {{pictures}}",
                ),
            ),
        ),
        Panel(
            "First token sooner by compression, measured",
            "Mean of bypassed requests less mean of compressed ones, over 30 minutes; below zero, "
            "compression costs time. Only where --bypass-share is on.",
            "s",
            (
                Query(
                    "avg by (turn) "
                    f"(model_turn:metacompress_first_token_sooner_seconds:mean_rate30m{{{M}}})",
                    "{{turn}}",
                ),
            ),
            signed=True,
        ),
        Panel(
            "Prefill avoided, estimate",
            "Seconds of prefill per second: visual tokens that were not computed (exact) times "
            "the cost of a prompt token, which is fitted to the requests and 0 until it is known.",
            "s",
            (
                Query(
                    rate("metacompress_prefill_seconds_avoided_estimate_total", "turn"), "{{turn}}"
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Cost of a prompt token, fitted",
            "Seconds of prefill for one token more, which the estimate rests on; 0: not known yet.",
            "s",
            (Query(f"max(metacompress_prefill_seconds_per_token{{{M}}})", "per token"),),
        ),
        Panel(
            "Time to first token",
            "All requests.",
            "s",
            quantiles("vllm:time_to_first_token_seconds"),
        ),
        Panel(
            "Between tokens",
            "Inter-token latency.",
            "s",
            quantiles("vllm:inter_token_latency_seconds"),
        ),
        Panel(
            "Whole request",
            "End to end.",
            "s",
            quantiles("vllm:e2e_request_latency_seconds"),
        ),
        Panel(
            "Where the time goes",
            "Mean time of a request waiting, in prefill and in decode.",
            "s",
            tuple(
                Query(mean(f"vllm:request_{stage}_time_seconds"), stage)
                for stage in ("queue", "prefill", "decode")
            ),
            stacked=True,
        ),
        Panel(
            "Requests",
            "Let in and not answered yet; of these, running and waiting in the engine.",
            "short",
            (
                Query(f"sum(metacompress_requests_in_flight{{{M}}})", "in flight"),
                Query(f"sum(vllm:num_requests_running{{{M}}})", "running"),
                Query(f"sum(vllm:num_requests_waiting{{{M}}})", "waiting"),
            ),
            width=24,
        ),
    ),
)

INTAKE = Row(
    "Media intake",
    (
        Panel(
            "Bytes of pictures",
            "Received per second.",
            "Bps",
            (Query(rate("metacompress_image_bytes_received_total"), "received"),),
        ),
        Panel(
            "Pictures refused",
            "Per second, by reason.",
            "short",
            (Query(rate("metacompress_image_rejections_total", "reason"), "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Requests refused",
            "At the front door, per second, by reason.",
            "short",
            (Query(rate("metacompress_requests_refused_total", "reason"), "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Decoding a picture",
            "With the wait for a decoder.",
            "s",
            quantiles("metacompress_image_decode_seconds"),
            width=12,
        ),
        Panel(
            "Fetching a picture",
            "From an allowed URL.",
            "s",
            quantiles("metacompress_image_fetch_seconds"),
            width=12,
        ),
    ),
)

ROWS = (OVERVIEW, COMPRESSION, SESSIONS, KV, LATENCY, INTAKE)

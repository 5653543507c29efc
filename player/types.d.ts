// What the server sends to the pages, and what the browsers have that TypeScript's own list does not. For the checker
// alone: nothing of this is served.

/** One channel that is live, of `/api/v1/streams` on the public port. */
interface LiveChannel {
  name: string;
  /** "waiting": live, and nothing comes from the broadcaster. */
  state: "live" | "waiting";
  live_since: string;
  viewers: number;
  variants: Variant[];
  push_codecs: string | null;
  playlist: string;
  /** The playlist of its past; null where nobody can go back. */
  past: string | null;
  past_s: number;
  watch: string;
  poster: string | null;
}

interface Variant {
  name: string;
  codecs: string;
  resolution: string | null;
  frame_rate: number | null;
  bandwidth: number;
}

interface Finding {
  code: string;
  severity: string;
  message: string;
  advice: string;
  since: string;
}

interface StreamHealth {
  status: "good" | "ok" | "bad" | "no_data";
  findings: Finding[];
}

interface StreamFigures {
  live_since: string;
  encoder: string;
  codecs: string[];
  width: number;
  height: number;
  bitrate_bps: number;
  frame_rate: number;
  keyframe_interval_s: number | null;
  health: StreamHealth;
  viewers: Record<string, number>;
  tags_dropped: number;
  timestamps_repaired: number;
}

/** One stream, of `/api/v1/streams` on the admin port. */
interface LiveStream extends StreamFigures {
  name: string;
  key_id: string;
  publisher_address: string;
  recording_id: string | null;
}

/** "uploading" where recordings are kept in an object storage. */
type RecordedState = "recording" | "finalizing" | "uploading" | "ready" | "partial" | "failed" | "deleted";
type Visibility = "public" | "unlisted" | "private";

/** A recording, as everybody may see it. */
interface ChannelRecording {
  id: string;
  state: RecordedState;
  title: string;
  started_at: string;
  duration_s: number;
}

/** A recording, as its broadcaster sees it. */
interface OwnRecording extends ChannelRecording {
  reason: string;
  visibility: Visibility;
  keep: boolean;
  bytes: number;
}

interface ChannelRecordingPage {
  recordings: ChannelRecording[];
  next_before: string | null;
}

interface OwnRecordingPage {
  recordings: OwnRecording[];
  next_before: string | null;
  is_recorded: boolean;
  is_off: boolean;
}

interface OwnClip {
  id: string;
  title: string;
  started_at: string;
  duration_s: number;
}

interface OwnClipPage {
  clips: OwnClip[];
  next_before: string | null;
  may_make: boolean;
}

interface StreamKey {
  id: string;
  user: string;
  label: string;
  state: "active" | "revoked" | "expired";
  created_at: string;
  created_by: string;
  expires_at: string | null;
  last_used_at: string | null;
  last_used_address: string;
  revoked_at: string | null;
  revoked_by: string;
  revoke_reason: string;
  replaced_by: string | null;
}

interface NewKey {
  id: string;
  user: string;
  stream_key: string;
  rtmp_url: string;
}

interface UserLimits {
  bitrate_kbps_max: number | null;
  picture_pixels_max: number | null;
}

interface User {
  name: string;
  state: "active" | "suspended";
  created_at: string;
  suspended_at: string | null;
  suspend_reason: string;
  limits: UserLimits;
  listed: boolean;
  record: boolean | null;
}

/** Who has signed in, of `/api/v1/session`. */
interface Session {
  name: string;
  role: string;
  rights: string[];
  totp: boolean;
}

interface AuditRow {
  subject: string | null;
  sequence: number;
  at: string;
  actor: string;
  address: string;
  action: string;
  user: string | null;
  key_id: string | null;
  stream: string | null;
  reason: string;
  count: number;
}

/** A reading of the server's own figures, of `/api/v1/history`. */
interface Sample {
  at: string;
  ingest_bps: number;
  egress_bps: number;
  streams: number;
  viewers: number;
  part_delay_ms: number | null;
  cpu_percent: number | null;
  memory_bytes: number | null;
}

interface Attempt {
  at: string;
  address: string;
  result: string;
  detail: string;
  count: number;
  ended_at: string | null;
}

type TargetState = "off" | "waiting" | "connecting" | "live" | "reconnecting" | "refused" | "failed";

/** A server that broadcasts are passed on to. */
interface RestreamTarget {
  id: string;
  url: string;
  /** The end of its stream key. */
  key_hint: string;
  label: string;
  enabled: boolean;
  state: TargetState;
  since: string | null;
  kbps: number;
  dropped: number;
  attempts: number;
  last_error: string;
}

interface OwnTargetList {
  targets: RestreamTarget[];
  targets_max: number;
}

interface StudioState {
  channel: string;
  rtmp_url: string;
  limits: UserLimits;
  state: "offline" | "live" | "live_with_other_key";
  stream: StreamFigures | null;
  targets_max: number;
  attempts: Attempt[];
}

/** Why playback stopped for good; `status` is the HTTP status behind it, 0 where there is none. */
interface Failure {
  reason: "network" | "media" | "format";
  status: number;
}

/** How an engine tells the page what has become of it: see engines.js. */
type TellPage = (kind: "ended" | "closed" | "failed", failure?: Failure) => void;

type Mode = "lowest" | "low" | "stable";

/** A way to play a channel: see engines.js. */
interface Engine {
  readonly name: string;
  /** One connection, whose end is not the broadcast's. */
  readonly isPush: boolean;
  readonly isLowLatency: boolean;
  /** Seconds behind the newest media, or NaN. */
  readonly latency: number;
  /** Seconds from being ingested to being shown, or NaN. */
  readonly ingestLatency: number;
  readonly isAtLive: boolean;
  /** Milliseconds since media last arrived. */
  readonly quietMs: number;
  readonly hasEnd: boolean;
  /** It plays the past of the stream. */
  readonly isPast?: boolean;
  seekTo?(behind: number): void;
  /** Names of the qualities that there are to choose from, the best first; without where there is no choice. */
  readonly qualities?: string[];
  readonly quality?: string;
  chooseQuality?(name: string): void;
  load(stream: LiveChannel): void;
  goLive(): void;
  pauseLoading(): void;
  resumeLoading(): void;
  destroy(): void;
}

type MakeEngine = (report: TellPage) => Engine;
type Modes = Map<Mode, MakeEngine>;

interface HTMLVideoElement {
  /** Safari on iPhones, which know full screen for a video alone. */
  webkitEnterFullscreen?(): void;
}

interface HTMLMediaElement {
  /** Safari; the date of the timeline's zero, as HTML has it. */
  getStartDate?(): Date;
}

/** What stands for one thing of a KeyedList; without `remove` the root just goes. */
interface Row<Thing> {
  root: HTMLElement;
  update(thing: Thing): void;
  remove?(): void;
}

/** One question of a dialog. */
interface Field {
  row: HTMLElement;
  value(): string;
}

/** A page of a long list of the admin API. */
interface Page {
  next_after: number | null;
}

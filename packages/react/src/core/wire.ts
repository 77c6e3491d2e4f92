import type { components } from './schema';

/*
 * What the server says, as it says it; what its OpenAPI document describes is taken from there. JSON is camelCase;
 * every `…At` is unix milliseconds. Unions end in `(string & {})` where LiveKit may add a value: an unknown one is
 * shown, never refused.
 */

/** The document calls optional what may be null; the server always writes it. */
type Whole<T> = T extends readonly (infer U)[] ? Whole<U>[] : T extends object ? { [K in keyof T]-?: Whole<T[K]> } : T;
type Schema<Name extends keyof components['schemas']> = Whole<components['schemas'][Name]>;

/** Position in the log: `<epoch>-<seq>`. The epoch is 8 hex digits, new when a log is created, restored or imported. */
export type Cursor = string;

/** Who said so: LiveKit's webhook, or reconciliation, which asked LiveKit and appended what was missed. */
export type Source = 'webhook' | 'reconcile' | (string & {});

export interface TrackCounts {
  audio: number;
  video: number;
  screen: number;
}

/** One life of a room that is live now. */
export interface Room {
  project: string;
  sid: string;
  name: string;
  /** Null when LiveKit has not said. */
  startedAt: number | null;
  metadata: string;
  /** People: hidden participants, agents, egress and Roomwatch's own watchers are not counted. */
  participantCount: number;
  agentCount: number;
  publisherCount: number;
  trackCounts: TrackCounts;
  recording: boolean;
  /** True while LiveKit could not be asked whether this is still so. */
  stale: boolean;
  source: Source;
  lastEventAt: number | null;
  /** When LiveKit was last asked about this room; only in lists, never in a change. */
  checkedAt?: number | null;
}

export type ParticipantKind = 'standard' | 'agent' | 'sip' | 'ingress' | 'egress' | (string & {});
export type ParticipantState = 'joining' | 'joined' | 'active' | 'disconnected' | 'unknown' | (string & {});

export interface Permission {
  canSubscribe?: boolean;
  canPublish?: boolean;
  canPublishData?: boolean;
  canPublishSources?: string[];
  hidden?: boolean;
  recorder?: boolean;
  canUpdateMetadata?: boolean;
  agent?: boolean;
  [more: string]: unknown;
}

export interface Participant {
  project: string;
  room: string;
  roomSid: string;
  sid: string;
  identity: string;
  name: string;
  kind: ParticipantKind;
  state: ParticipantState;
  hidden: boolean;
  /** One of Roomwatch's own watchers. */
  watcher: boolean;
  joinedAt: number | null;
  metadata: string;
  attributes: Record<string, string>;
  permission: Permission | null;
  region: string | null;
  disconnectReason: string | null;
  tracks: Track[];
}

export type TrackType = 'audio' | 'video' | 'data' | (string & {});
export type TrackSource = 'camera' | 'microphone' | 'screen_share' | 'screen_share_audio' | 'unknown' | (string & {});

export interface Track {
  sid: string;
  name: string;
  type: TrackType;
  source: TrackSource;
  muted: boolean;
  width: number | null;
  height: number | null;
  simulcast: boolean;
  mimeType: string;
  publishedAt: number | null;
}

export interface Egress {
  project: string;
  room: string;
  roomSid: string | null;
  egressId: string;
  kind: string;
  status: string;
  startedAt: number | null;
  endedAt: number | null;
  error: string | null;
  outputs: unknown[];
}

export interface Ingress {
  project: string;
  room: string;
  ingressId: string;
  name: string;
  kind: string;
  status: string;
  participantIdentity: string | null;
  startedAt: number | null;
  endedAt: number | null;
  error: string | null;
}

interface ChangeOf<K extends string, V> {
  kind: K;
  /** The entity's sid, or its egress or ingress id. */
  id: string;
  project: string;
  room: string;
  roomSid: string | null;
  op: 'set' | 'patch' | 'delete';
  /** The whole entity for `set`, the top-level fields that changed for `patch`, nothing for `delete`. */
  value?: Partial<V>;
}

/** What one event altered in the state. */
export type Change =
  | ChangeOf<'room', Room>
  | ChangeOf<'participant', Participant>
  | ChangeOf<'egress', Egress>
  | ChangeOf<'ingress', Ingress>;

export type EventType =
  | 'room_started'
  | 'room_finished'
  | 'room_updated'
  | 'participant_joined'
  | 'participant_left'
  | 'participant_connection_aborted'
  | 'participant_updated'
  | 'track_published'
  | 'track_unpublished'
  | 'track_muted'
  | 'track_unmuted'
  | 'egress_started'
  | 'egress_updated'
  | 'egress_ended'
  | 'ingress_started'
  | 'ingress_ended'
  | 'agent_job_started'
  | 'agent_job_ended'
  | (string & {});

/** LiveKit's own event, redacted, otherwise as it came. LiveKit's JSON leaves out what is empty. */
export interface LiveKitEvent {
  event: string;
  id?: string;
  createdAt?: string | number;
  room?: Record<string, unknown>;
  participant?: Record<string, unknown>;
  track?: Record<string, unknown>;
  egressInfo?: Record<string, unknown>;
  ingressInfo?: Record<string, unknown>;
  job?: Record<string, unknown>;
  [more: string]: unknown;
}

/** One event on the stream, live or replayed: both are identical. */
export interface Message {
  type: EventType;
  data: LiveKitEvent;
  /** When Roomwatch received the event. */
  timestamp: number;
  cursor: Cursor;
  project: string;
  room: string | null;
  source: Source;
  /** Absent when the stream was opened with a `type` filter. */
  changes?: Change[];
}

/** Why a cursor could not be honoured. `missed` is ours: this tab slept through what another tab received. */
export type ResetReason = 'expired' | 'unknown_epoch' | 'ahead' | 'missed';

/** First frame of every connection. */
export interface Connected {
  type: 'connected';
  cursor: Cursor;
  resumed: boolean;
  reset?: ResetReason;
}

/** What a listener of the stream hears. */
export type ConnectionEvent = Message | Connected;

export interface Ping {
  cursor: Cursor;
  at: number;
}

export interface Bye {
  reason: 'expired' | 'drain' | 'capacity';
}

export interface RoomsAnswer {
  cursor: Cursor;
  rooms: Room[];
}

export interface RoomAnswer {
  cursor: Cursor;
  room: Room;
  participants: Participant[];
  /** What has not ended. */
  egress: Egress[];
  ingress: Ingress[];
}

export interface ParticipantsAnswer {
  cursor: Cursor;
  participants: Participant[];
}

/** A page of the log, ascending. `prev` and `next` say how far was scanned; null at an end. */
export type EventsPage = Omit<Schema<'Page'>, 'events'> & { events: Message[] };

export type Role = Schema<'Role'>;

/** Who asks. */
export type Me = Omit<Schema<'Me'>, 'grants'> & {
  /** The grants of a LiveKit access token. */
  grants: Record<string, unknown> | null;
};

/** One life of a room, from start to finish, named by its sid. */
export interface Session {
  project: string;
  sid: string;
  room: string;
  startedAt: number;
  endedAt: number | null;
  endReason: string | null;
  /** Distinct identities. */
  participantCount: number;
  peak: number;
  publisherCount: number;
  recorded: boolean;
  source: Source;
}

export interface SessionsPage {
  sessions: Session[];
  next: string | null;
}

export interface Participation {
  sid: string;
  identity: string;
  name: string;
  kind: ParticipantKind;
  hidden: boolean;
  watcher: boolean;
  joinedAt: number | null;
  leftAt: number | null;
  /** For a leave that was only inferred: it happened between this and `leftAt`. */
  leftNotBefore: number | null;
  disconnectReason: string | null;
  source: Source;
}

export interface SessionTrack {
  sid: string;
  participantSid: string;
  identity: string;
  name: string;
  type: TrackType;
  source: TrackSource;
  publishedAt: number | null;
  unpublishedAt: number | null;
}

export interface SessionDetail {
  session: Session;
  participations: Participation[];
  tracks: SessionTrack[];
  egress: Egress[];
}

export interface ActivityPoint {
  at: number;
  rooms: number;
  participants: number;
  joins: number;
  leaves: number;
}

/** `step` is in milliseconds. */
export interface Activity {
  from: number;
  to: number;
  step: number;
  points: ActivityPoint[];
}

export type Capability = Schema<'Availability'>;

/** What reconciliation had to mend. */
export type Correction = Schema<'Note'>;

/** One LiveKit deployment and how it is doing. */
export type Project = Schema<'Project'>;

export interface SearchResult {
  kind: 'room' | 'participant' | 'session' | 'identity' | (string & {});
  project: string;
  room: string | null;
  sid: string | null;
  identity: string | null;
  name: string | null;
  live: boolean;
  at: number | null;
}

/** One command and what became of it. */
export type AuditEntry = Schema<'AuditEntry'>;

export type AuditPage = Schema<'AuditPage'>;

/** What it takes to watch one room with livekit-client. */
export interface WatchToken {
  url: string;
  token: string;
  identity: string;
}

import type { components } from './schema';

/*
 * Types of the server's JSON, taken from its OpenAPI document where possible. Fields are camelCase; every `…At` is unix
 * milliseconds. Unions end in `(string & {})` where LiveKit may add a value: an unknown value is shown, never refused.
 */

/** Makes every field required: the document calls nullable fields optional, but the server always sends them. */
type Whole<T> = T extends readonly (infer U)[] ? Whole<U>[] : T extends object ? { [K in keyof T]-?: Whole<T[K]> } : T;
type Schema<Name extends keyof components['schemas']> = Whole<components['schemas'][Name]>;

/** Position in the log: `<epoch>-<seq>`. The epoch is 8 hex digits, new when a log is created, restored or imported. */
export type Cursor = string;

/** Source of an event: a webhook of LiveKit, reconciliation, which found it through LiveKit's API, or Roomwatch itself. */
export type Source = 'webhook' | 'reconcile' | 'roomwatch' | (string & {});

export type TrackCounts = Room['trackCounts'];

/** A live session of a room. */
export type Room = Omit<Schema<'Room'>, 'checkedAt' | 'lastEventAt' | 'source' | 'unconfirmedSince'> & {
  source: Source;
  /** Time of the last event about the room. Null while the room is being created. */
  lastEventAt: number | null;
  /** Time of the last comparison with LiveKit. Part of answers, not of changes. */
  checkedAt?: number | null;
  /** Since when nothing has confirmed the room, as LiveKit does not answer. Part of answers, not of changes. */
  unconfirmedSince?: number | null;
};

export type ParticipantKind = 'standard' | 'agent' | 'sip' | 'ingress' | 'egress' | (string & {});
export type ParticipantState = 'joining' | 'joined' | 'active' | 'disconnected' | 'unknown' | (string & {});

/** LiveKit's `ParticipantPermission`, without the fields that are false. */
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

/** A participant of a live room. */
export type Participant = Omit<Schema<'Participant'>, 'kind' | 'state' | 'permission' | 'tracks'> & {
  kind: ParticipantKind;
  state: ParticipantState;
  permission: Permission | null;
  tracks: Track[];
};

export type TrackType = 'audio' | 'video' | 'data' | (string & {});
export type TrackSource = 'camera' | 'microphone' | 'screen_share' | 'screen_share_audio' | 'unknown' | (string & {});

export type Track = Omit<Schema<'Track'>, 'type' | 'source'> & { type: TrackType; source: TrackSource };

/** A recording or a stream out of LiveKit. */
export type Egress = Schema<'Egress'>;

/** Media sent into LiveKit. */
export type Ingress = Schema<'Ingress'>;

/** Egress after a command. */
export type EgressStatus = Schema<'EgressAnswer'>;

/** Preset of the server's configuration with which egress may be started. */
export type EgressPreset = Schema<'EgressPreset'>;

/** Ingress of a project, as LiveKit lists it. */
export type IngressList = Schema<'IngressList'>;
export type IngressEntry = Schema<'IngressEntry'>;

/** Request for an agent in a room. */
export type Dispatch = Schema<'Dispatch'>;

/** Something that needs attention, and is open. */
export type Condition = Omit<Schema<'Condition'>, 'kind' | 'values'> & {
  kind: ConditionKind;
  /** Numbers and texts that explain it, by kind. */
  values: Record<string, unknown>;
};

export type KnownConditionKind =
  | 'livekit_unreachable'
  | 'key_rejected'
  | 'webhooks_missing'
  | 'webhook_lost'
  | 'egress_failed'
  | 'egress_starting'
  | 'egress_orphaned'
  | 'agent_missing'
  | 'agent_alone'
  | 'agent_failed'
  | 'joins_failing'
  | 'connections_lost'
  | 'call_failed'
  | 'room_leftover'
  | 'room_old'
  | 'clock_jumped'
  | 'file_damaged'
  | 'history_lost'
  | 'follower_behind'
  | 'disk_nearly_full'
  | 'limits_reached';

export type ConditionKind = KnownConditionKind | (string & {});

export type Severity = Schema<'Condition'>['severity'];

/** Thresholds of conditions. */
export type AttentionRules = Schema<'AttentionRules'>;

interface ChangeOf<K extends string, V> {
  kind: K;
  /** The entity's sid, or its egress or ingress id. */
  id: string;
  project: string;
  room: string | null;
  roomSid: string | null;
  op: 'set' | 'patch' | 'delete';
  /** The whole entity for `set`, the top-level fields that changed for `patch`, null for `delete`. */
  value?: Partial<V> | null;
}

/** One change of the state by an event. */
export type Change =
  | ChangeOf<'room', Room>
  | ChangeOf<'participant', Participant>
  | ChangeOf<'egress', Egress>
  | ChangeOf<'ingress', Ingress>
  | ChangeOf<'condition', Condition>;

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

/** LiveKit's event as it arrived, without secrets. LiveKit leaves out empty fields. */
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

/** One event of the stream. A replayed event is identical to the live one. */
export interface Message {
  type: EventType;
  data: LiveKitEvent;
  /** Time at which Roomwatch received the event. */
  timestamp: number;
  cursor: Cursor;
  project: string;
  room: string | null;
  source: Source;
  /** Absent when the stream was opened with a `type` filter. */
  changes?: Change[];
}

/**
 * Reason why the stream did not resume. `missed` is set by this client: the tab was asleep while another one received
 * events.
 */
export type ResetReason = 'expired' | 'unknown_epoch' | 'ahead' | 'missed';

/** First frame of each connection. */
export interface Connected {
  type: 'connected';
  cursor: Cursor;
  resumed: boolean;
  reset?: ResetReason;
}

/** A frame that a listener of the stream receives. */
export type ConnectionEvent = Message | Connected;

export interface Ping {
  cursor: Cursor;
  at: number;
  /** Set while this node of a deployment is out of touch with the others. */
  stale?: true;
  /** Unix milliseconds at which it last had every event. Only with `stale`. */
  freshAt?: number;
}

export interface Bye {
  reason: 'expired' | 'drain' | 'capacity' | 'behind';
}

/** LiveKit of one project when an answer was made. */
export type LiveKit = Schema<'LiveKit'>;

export interface RoomsAnswer {
  cursor: Cursor;
  /** Unix milliseconds at which the last event in the state was received. Null before the first event. */
  at: number | null;
  /** False if the state of the requested moment is not kept. This is then the nearest state that is kept. */
  exact: boolean;
  /** LiveKit of each project that the answer covers. */
  livekit: LiveKit[];
  rooms: Room[];
}

export interface RoomAnswer {
  cursor: Cursor;
  /** Unix milliseconds at which the last event in the state was received. Null before the first event. */
  at: number | null;
  /** False if the state of the requested moment is not kept. This is then the nearest state that is kept. */
  exact: boolean;
  livekit: LiveKit | null;
  room: Room;
  participants: Participant[];
  /** Egress that has not ended. */
  egress: Egress[];
  ingress: Ingress[];
}

export interface ParticipantsAnswer {
  cursor: Cursor;
  /** Unix milliseconds at which the last event in the state was received. Null before the first event. */
  at: number | null;
  /** False if the state of the requested moment is not kept. This is then the nearest state that is kept. */
  exact: boolean;
  livekit: LiveKit | null;
  /** Newest live session of the name. The list can be empty. */
  roomSid: string;
  participants: Participant[];
}

export interface AttentionAnswer {
  cursor: Cursor;
  /** The worst first, and of those the oldest. */
  conditions: Condition[];
  rules: AttentionRules;
}

/**
 * A page of the log in ascending order. `prev` and `next` are the cursors of the neighbouring pages, null at an end.
 */
export type EventsPage = Omit<Schema<'Page'>, 'events'> & { events: Message[] };

export type Role = Schema<'Role'>;

/** The caller. */
export type Me = Omit<Schema<'Me'>, 'grants'> & {
  /** The grants of a LiveKit access token. */
  grants: Record<string, unknown> | null;
};

/** A session: a room from its first join to its close, named by its sid. */
export type Session = Schema<'Session'>;

export type SessionsPage = Schema<'Sessions'>;

/** One stay of a participant in a session. */
export type Participation = Omit<Schema<'Participation'>, 'kind' | 'source'> & {
  kind: ParticipantKind;
  source: Source;
};

export type SessionTrack = Schema<'SessionTrack'>;

/** A session with its participations, tracks and egress. */
export type SessionDetail = Omit<Schema<'SessionDetail'>, 'participations' | 'tracks' | 'egress'> & {
  participations: Participation[];
  tracks: SessionTrack[];
  egress: Egress[];
};

/** A recording or a stream out of LiveKit, running or ended. */
export type EgressEntry = Schema<'EgressEntry'>;

/** `counts` is the number of egress by status. */
export type EgressPage = Schema<'EgressList'>;

/** A phone call: a participant of kind SIP. */
export type Call = Schema<'Call'>;

/** `counts` is the number of calls by outcome. */
export type CallsPage = Schema<'Calls'>;

/** All agents of one name in one project. */
export type Agent = Schema<'Agent'>;

/** The agents of the last seven days, and the conditions of rooms that should have one and have none. */
export type AgentsAnswer = Omit<Schema<'Agents'>, 'missing'> & { missing: Condition[] };

/** `rooms` and `participants` are the peak of the step, null before the start of the history: unknown. */
export type ActivityPoint = Schema<'ActivityPoint'>;

/** `step` is in milliseconds. */
export type Activity = Schema<'Activity'>;

/** Sums and peaks of a time. A peak is null if it is unknown. */
export type UsageNumbers = Schema<'UsageNumbers'>;

/** The numbers of one project or value, or of everything. A point without numbers is unknown. */
export type UsageSeries = Schema<'UsageSeries'>;

/** Usage over time. `counting` is true while some points are still being counted. */
export type Usage = Schema<'Usage'>;

export type Capability = Schema<'Capability'>;

/** A difference that reconciliation found and appended to the log. */
export type Correction = Schema<'Correction'>;

/** A LiveKit deployment and its health. */
export type Project = Schema<'Project'>;

/** The space that Roomwatch uses on the disk. */
export type StorageSpace = Schema<'StorageSpace'>;

/** The projects, and the space on the disk for operators. */
export type Projects = { projects: Project[]; storage: StorageSpace | null };

export type SearchResult = Schema<'SearchResult'>;

/** A participant by identity, over all sessions. */
export type Person = Omit<Schema<'Person'>, 'kinds'> & { kinds: ParticipantKind[] };

/** A command with its result. */
export type AuditEntry = Schema<'AuditEntry'>;

export type AuditPage = Schema<'AuditPage'>;

/** Address and token for watching one room with livekit-client. Valid for a minute. */
export type WatchToken = Schema<'Watch'>;

import type { LiveKitEvent, Message } from '@roomwatch/react';
import { words } from '@/ui/format';

/** What an event is about, for its icon. `other` is what we have never heard of: it is shown all the same. */
export type EventTopic = 'room' | 'person' | 'track' | 'recording' | 'ingress' | 'agent' | 'other';

export interface EventWords {
  topic: EventTopic;
  /** Of a track: which icon it has wherever tracks are shown. */
  medium?: 'audio' | 'video' | 'screen';
  /** Whether something came, went, changed or failed. */
  turn: 'came' | 'went' | 'changed' | 'failed';
  /** Who or what it happened to; null when the event does not say. */
  subject: string | null;
  /** Of a person: their identity, where they are called otherwise. */
  identity: string | null;
  /** What happened: "joined", "published a camera". */
  verb: string;
  /** Between the verb and the room's name: "published a camera *in* standup", but "joined standup". */
  preposition: '' | 'in ';
  /** A reason or a state, when the event gives one. */
  detail: string | null;
}

const field = (
  event: LiveKitEvent,
  part: 'participant' | 'track' | 'egressInfo' | 'ingressInfo' | 'job' | 'room',
  name: string,
) => {
  const object = event[part];
  const value = object && typeof object === 'object' ? (object as Record<string, unknown>)[name] : undefined;
  return typeof value === 'string' && value !== '' ? value : null;
};

const SOURCES: Record<string, string> = {
  CAMERA: 'a camera',
  MICROPHONE: 'a microphone',
  SCREEN_SHARE: 'a screen share',
  SCREEN_SHARE_AUDIO: 'screen share audio',
};

/** LiveKit leaves out what is zero: a track without a source is of an unknown one, without a type it is audio. */
function trackWords(event: LiveKitEvent): string {
  const source = field(event, 'track', 'source')?.toUpperCase();
  if (source && SOURCES[source]) return SOURCES[source];
  const type = field(event, 'track', 'type')?.toLowerCase();
  return type === 'video' ? 'a video track' : type === 'data' ? 'a data track' : 'an audio track';
}

/** As the server tells them: hidden, and with an identity that Roomwatch has given. */
function isWatcher(data: LiveKitEvent): boolean {
  const { permission } = (data.participant ?? {}) as { permission?: { hidden?: unknown } };
  return permission?.hidden === true && field(data, 'participant', 'identity')?.startsWith('roomwatch:') === true;
}

function mediumOf(event: LiveKitEvent): EventWords['medium'] {
  const source = field(event, 'track', 'source')?.toUpperCase();
  if (source?.startsWith('SCREEN_SHARE')) return 'screen';
  const type = field(event, 'track', 'type')?.toUpperCase();
  if (source === 'CAMERA' || type === 'VIDEO') return 'video';
  return type === 'DATA' ? undefined : 'audio';
}

/**
 * An event as a short sentence. Never throws, whatever LiveKit sends: unknown names are read as they stand. `called` is what
 * its participant is called elsewhere, for an event that has no name.
 */
export function describeEvent(
  { type, data, room }: Pick<Message, 'type' | 'data' | 'room'>,
  called: string | null = null,
): EventWords {
  const identity = field(data, 'participant', 'identity');
  const person = field(data, 'participant', 'name') ?? called ?? identity ?? field(data, 'participant', 'sid');
  const reason = field(data, 'participant', 'disconnectReason');
  const detail = reason ? words(reason) : null;
  // Nobody in the room has seen them come or go.
  const watcher = isWatcher(data) ? 'unseen watcher' : null;
  const say = (
    topic: EventTopic,
    turn: EventWords['turn'],
    subject: string | null,
    verb: string,
    more: string | null = null,
  ): EventWords => ({
    topic,
    turn,
    subject,
    identity: subject === person && identity !== person ? identity : null,
    verb,
    preposition: topic === 'person' && (verb === 'joined' || verb === 'left') ? '' : 'in ',
    detail: more,
    ...(topic === 'track' ? { medium: mediumOf(data) } : {}),
  });

  switch (type) {
    case 'room_started':
      return say('room', 'came', room, 'started');
    case 'room_finished': {
      const why = typeof data.roomEndReason === 'string' ? data.roomEndReason : field(data, 'room', 'roomEndReason');
      return say('room', 'went', room, 'ended', why ? words(why) : null);
    }
    case 'room_updated':
      return say('room', 'changed', room, 'changed its metadata');
    case 'participant_joined':
      return say('person', 'came', person, 'joined', watcher);
    case 'participant_left':
      return say('person', 'went', person, 'left', watcher ?? detail);
    case 'participant_connection_aborted':
      return say('person', 'failed', person, 'could not connect', detail);
    case 'participant_updated':
      return say('person', 'changed', person, 'changed');
    case 'track_published':
      return say('track', 'came', person, `published ${trackWords(data)}`);
    case 'track_unpublished':
      return say('track', 'went', person, `unpublished ${trackWords(data)}`);
    case 'track_muted':
      return say('track', 'changed', person, `muted ${trackWords(data)}`);
    case 'track_unmuted':
      return say('track', 'changed', person, `unmuted ${trackWords(data)}`);
    case 'egress_started':
      return say('recording', 'came', 'Recording', 'started');
    case 'egress_updated': {
      const status = field(data, 'egressInfo', 'status');
      return say('recording', 'changed', 'Recording', 'changed', status ? words(status.replace('EGRESS_', '')) : null);
    }
    case 'egress_ended': {
      const error = field(data, 'egressInfo', 'error');
      return say('recording', error ? 'failed' : 'went', 'Recording', error ? 'failed' : 'ended', error);
    }
    case 'ingress_started':
      return say('ingress', 'came', field(data, 'ingressInfo', 'name') ?? 'Ingress', 'began to stream in');
    case 'ingress_ended':
      return say('ingress', 'went', field(data, 'ingressInfo', 'name') ?? 'Ingress', 'stopped streaming in');
    case 'agent_job_started':
      return say('agent', 'came', field(data, 'job', 'agentName') ?? 'Agent', 'took a job');
    case 'agent_job_ended':
      return say('agent', 'went', field(data, 'job', 'agentName') ?? 'Agent', 'ended its job');
    default:
      return say('other', 'changed', person ?? room, words(String(type)));
  }
}

import type { RemoteParticipant, RemoteTrackPublication, Room } from 'livekit-client';
import type { RoomwatchClient } from './client';

/** Data messages that are kept; the oldest go first. */
const MESSAGES_MAX = 200;

export interface RoomConnectionOptions {
  /** LiveKit's own address, to join with the app's token instead of one from Roomwatch. */
  url?: string;
  token?: string;
  project?: string;
  /** For the audit record, where the installation asks for one. */
  reason?: string;
  /** False stays outside. Default true. */
  enabled?: boolean;
}

export type RoomConnectionStatus = 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'disconnected' | 'failed';
export type Quality = 'excellent' | 'good' | 'poor' | 'lost' | 'unknown';

export interface WatchedTrack {
  sid: string;
  kind: 'audio' | 'video';
  /** `camera`, `microphone`, `screen_share`, `screen_share_audio` or `unknown`. */
  source: string;
  muted: boolean;
  /** True once there is media to attach. */
  subscribed: boolean;
  /** Pixels as published, null when LiveKit has not said. */
  width: number | null;
  height: number | null;
  /**
   * Plays the track in an element; returns how to stop. The same function for as long as the media is the same, so
   * that an effect may depend on it: `useEffect(() => attach(ref.current), [attach])`.
   */
  attach(element: HTMLMediaElement): () => void;
}

export interface WatchedParticipant {
  sid: string;
  identity: string;
  name: string;
  /** `standard`, `agent`, `sip`, `ingress`, `egress` … */
  kind: string;
  /** Unix milliseconds. */
  joinedAt: number | null;
  speaking: boolean;
  /** 0 to 1, as of LiveKit's last report of who speaks. */
  audioLevel: number;
  quality: Quality;
  tracks: WatchedTrack[];
}

export interface WatchedMessage {
  /** Counts up within this connection. */
  id: number;
  /** Unix milliseconds of its arrival. */
  at: number;
  /** Identity of the sender; null for data from a server. */
  from: string | null;
  topic: string | null;
  /** Null when the bytes are no UTF-8. */
  text: string | null;
  bytes: Uint8Array;
}

export interface RoomConnectionState {
  status: RoomConnectionStatus;
  /** Unix milliseconds since when we have been in the room. */
  since: number | null;
  /** Our own identity in the room. */
  identity: string | null;
  participants: WatchedParticipant[];
  /** Identities, the loudest first. */
  speakers: string[];
  /** The newest last, at most 200. */
  messages: WatchedMessage[];
  /** After `disconnected`: LiveKit's reason, e.g. `ROOM_DELETED` or `PARTICIPANT_REMOVED`. */
  disconnectReason: string | null;
  /** After `failed`. A `RoomwatchError` when the token was refused: branch on its `code`. */
  error: Error | null;
}

export interface Watch {
  getState(): RoomConnectionState;
  onState(listener: () => void): () => void;
  /** After `failed` or `disconnected`: tries again. */
  reconnect(): void;
  /** Joins. Returns how to leave. */
  open(): () => void;
}

export const idleState: RoomConnectionState = {
  status: 'idle',
  since: null,
  identity: null,
  participants: [],
  speakers: [],
  messages: [],
  disconnectReason: null,
  error: null,
};

const nothing = () => {};

/**
 * One room from inside, with livekit-client, which is loaded when it is opened: 134 KiB. Nothing is published, and with a
 * token from Roomwatch nobody in the room is told.
 */
export function watchRoom(client: RoomwatchClient | null, name: string, options: RoomConnectionOptions): Watch {
  const listeners = new Set<() => void>();
  let state: RoomConnectionState = idleState;
  let room: Room | null = null;
  let run = 0;
  let redraw: ReturnType<typeof setTimeout> | undefined;
  let messageId = 0;
  /** One `attach` for each piece of media, however often it is drawn. */
  const attachers = new WeakMap<object, WatchedTrack['attach']>();

  const set = (next: Partial<RoomConnectionState>) => {
    state = { ...state, ...next };
    for (const listener of listeners) listener();
  };

  const track = (publication: RemoteTrackPublication): WatchedTrack => {
    const media = publication.track;
    let attach = media ? attachers.get(media) : () => nothing;
    if (media && !attach) {
      attach = (element) => {
        media.attach(element);
        return () => void media.detach(element);
      };
      attachers.set(media, attach);
    }
    return {
      sid: publication.trackSid,
      kind: publication.kind === 'video' ? 'video' : 'audio',
      source: publication.source,
      muted: publication.isMuted,
      subscribed: media !== undefined,
      width: publication.dimensions?.width ?? null,
      height: publication.dimensions?.height ?? null,
      attach: attach ?? (() => nothing),
    };
  };

  const participant = (one: RemoteParticipant, kinds: Record<number, string>): WatchedParticipant => ({
    sid: one.sid,
    identity: one.identity,
    name: one.name ?? '',
    kind: (kinds[one.kind] ?? 'unknown').toLowerCase(),
    joinedAt: one.joinedAt?.getTime() ?? null,
    speaking: one.isSpeaking,
    audioLevel: one.audioLevel,
    quality: one.connectionQuality,
    tracks: [...one.trackPublications.values()].map(track),
  });

  const connect = async () => {
    const current = ++run;
    set({ ...idleState, status: 'connecting', messages: state.messages });
    let joined: Room | null = null;
    try {
      const [livekit, credentials] = await Promise.all([import('livekit-client'), admission()]);
      if (current !== run) return;
      const { RoomEvent, ParticipantKind, DisconnectReason } = livekit;
      // Only what is on the screen is sent: a video that no element shows is paused.
      joined = room = new livekit.Room({ adaptiveStream: true });

      const draw = () => {
        clearTimeout(redraw);
        redraw = undefined;
        if (current !== run || !joined) return;
        set({
          participants: [...joined.remoteParticipants.values()].map((one) => participant(one, ParticipantKind)),
          speakers: joined.activeSpeakers.map(({ identity }) => identity),
        });
      };
      const drawSoon = () => {
        redraw ??= setTimeout(draw);
      };
      for (const event of [
        RoomEvent.ParticipantConnected,
        RoomEvent.ParticipantDisconnected,
        RoomEvent.ParticipantNameChanged,
        RoomEvent.TrackPublished,
        RoomEvent.TrackUnpublished,
        RoomEvent.TrackSubscribed,
        RoomEvent.TrackUnsubscribed,
        RoomEvent.TrackMuted,
        RoomEvent.TrackUnmuted,
        RoomEvent.ActiveSpeakersChanged,
        RoomEvent.ConnectionQualityChanged,
      ]) {
        joined.on(event, drawSoon);
      }
      joined.on(RoomEvent.Reconnecting, () => current === run && set({ status: 'reconnecting' }));
      joined.on(RoomEvent.SignalReconnecting, () => current === run && set({ status: 'reconnecting' }));
      joined.on(RoomEvent.Reconnected, () => {
        if (current === run) set({ status: 'connected' });
        drawSoon();
      });
      joined.on(RoomEvent.Disconnected, (reason) => {
        if (current !== run || state.status === 'connecting') return;
        run++;
        const disconnectReason = reason === undefined ? null : (DisconnectReason[reason] ?? null);
        set({ status: 'disconnected', participants: [], speakers: [], disconnectReason });
      });
      joined.on(RoomEvent.DataReceived, (bytes, from, _kind, topic) => {
        if (current !== run) return;
        const message = {
          id: ++messageId,
          at: Date.now(),
          from: from?.identity ?? null,
          topic: topic ?? null,
          text: decode(bytes),
          bytes,
        };
        set({ messages: [...state.messages, message].slice(-MESSAGES_MAX) });
      });
      await joined.connect(credentials.url, credentials.token);
      if (current !== run) return;
      set({ status: 'connected', since: Date.now(), identity: joined.localParticipant.identity });
      draw();
    } catch (error) {
      if (current !== run) return;
      run++;
      void joined?.disconnect();
      set({ status: 'failed', error: error instanceof Error ? error : new Error(String(error)) });
    }
  };

  const admission = async (): Promise<{ url: string; token: string }> => {
    const { url, token, project, reason } = options;
    if (url && token) return { url, token };
    if (!client) throw new Error('Without a <RoomwatchProvider> this needs { url, token }.');
    return client.watchToken({ room: name, project, reason });
  };

  return {
    getState: () => state,
    onState(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reconnect() {
      if (state.status === 'failed' || state.status === 'disconnected') void connect();
    },
    open() {
      // React mounts twice in development: what is closed at once has never asked for a token.
      const starting = setTimeout(() => void connect());
      return () => {
        run++;
        clearTimeout(starting);
        clearTimeout(redraw);
        redraw = undefined;
        void room?.disconnect();
        room = null;
        set(idleState);
      };
    },
  };
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

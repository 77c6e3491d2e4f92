import type { Track } from '@roomwatch/react';
import { Database, Mic, MicOff, ScreenShare, ScreenShareOff, Video, VideoOff } from 'lucide-react';

/** Icon of a track. The shape says source and muted, never the colour alone. */
export function TrackIcon({ track, size = 15 }: { track: Pick<Track, 'source' | 'type' | 'muted'>; size?: number }) {
  const { source, type, muted } = track;
  if (source.startsWith('screen_share')) return muted ? <ScreenShareOff size={size} /> : <ScreenShare size={size} />;
  if (type === 'video') return muted ? <VideoOff size={size} /> : <Video size={size} />;
  if (type === 'data') return <Database size={size} />;
  return muted ? <MicOff size={size} /> : <Mic size={size} />;
}

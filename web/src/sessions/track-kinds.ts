import type { SessionTrack } from '@roomwatch/react';
import { type LucideIcon, Mic, ScreenShare, Shapes, Video } from 'lucide-react';

/** Icon, colour and name of each kind of track on the timeline. */
export const kinds: Record<string, { icon: LucideIcon; className: string; name: string; order: number }> = {
  microphone: { icon: Mic, className: 'bg-good-soft text-good', name: 'Microphone', order: 0 },
  camera: { icon: Video, className: 'bg-accent-soft text-accent', name: 'Camera', order: 1 },
  screen_share: { icon: ScreenShare, className: 'bg-warn-soft text-warn', name: 'Screen share', order: 2 },
};
export const otherKind = { icon: Shapes, className: 'bg-active text-ink-2', name: 'Other track', order: 3 };
export const kindOf = ({ source }: SessionTrack) => kinds[source] ?? otherKind;

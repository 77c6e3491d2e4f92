import {
  Bot,
  Circle,
  CircleDot,
  type LucideIcon,
  Mic,
  MonitorPlay,
  OctagonAlert,
  Podcast,
  ScreenShare,
  UserRound,
  Video,
  Volume2,
} from 'lucide-react';
import type { EventTopic, EventWords } from './event-words';

/** Icon of each topic. */
export const TOPIC_ICONS: Record<EventTopic, LucideIcon> = {
  room: MonitorPlay,
  person: UserRound,
  track: Volume2,
  recording: CircleDot,
  ingress: Podcast,
  agent: Bot,
  attention: OctagonAlert,
  other: Circle,
};

const colours: Record<EventWords['turn'], string> = {
  came: 'text-good',
  went: 'text-ink-3',
  changed: 'text-ink-3',
  failed: 'text-bad',
};

/** Icons of tracks, as in the list of participants. */
const MEDIA_ICONS: Record<NonNullable<EventWords['medium']>, LucideIcon> = {
  audio: Mic,
  video: Video,
  screen: ScreenShare,
};

/** Icon of an event. The shape is the topic, the colour the effect. */
export function EventIcon({ words, size = 14 }: { words: EventWords; size?: number }) {
  const Icon = words.medium ? MEDIA_ICONS[words.medium] : TOPIC_ICONS[words.topic];
  return <Icon size={size} className={colours[words.turn]} aria-hidden />;
}

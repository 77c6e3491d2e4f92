import type { Egress, SessionTrack } from '@roomwatch/react';
import { Bot, CircleDot, EyeOff, Phone, TriangleAlert, UserX } from 'lucide-react';
import { memo } from 'react';
import { outputWords } from '@/recordings/egress-words';
import { cx } from '@/ui/cx';
import { clockTime, words } from '@/ui/format';
import { KIND_NAMES } from '@/ui/kind-names';
import { Name, PersonLink, visible } from '@/ui/person-name';
import { FORCED, leaveWords, reasonOf, TROUBLE } from './leave-words';
import { type Lane, labelPlace, type Stay } from './timeline';
import { kindOf } from './track-kinds';

interface Span {
  from: number;
  to: number;
}
/** A span with its size on the screen, in pixels a millisecond. */
interface Drawn extends Span {
  scale: number;
}
/** Position of a bar within the span, in percent. */
const place = (span: Span, from: number, to: number) => ({
  left: `${(100 * (from - span.from)) / (span.to - span.from)}%`,
  width: `${(100 * (to - from)) / (span.to - span.from)}%`,
});

const LABEL =
  'sticky left-0 z-10 flex min-w-0 flex-col justify-center border-r border-b border-line bg-surface px-3 py-1.5';

export const ParticipantLane = memo(function ParticipantLane({
  lane,
  project,
  from,
  to,
  scale,
}: { lane: Lane; project: string } & Drawn) {
  const span = { from, to, scale };
  const orders = [...new Set(lane.stays.flatMap((stay) => stay.tracks.map((track) => kindOf(track).order)))].sort();
  const kindName = lane.kind === 'standard' ? null : (KIND_NAMES[lane.kind] ?? words(lane.kind));
  return (
    <>
      <div className={LABEL}>
        <span className="flex items-center gap-1.5">
          {lane.kind === 'agent' ? <Bot size={12} className="text-ink-3" aria-hidden /> : null}
          {lane.kind === 'sip' ? <Phone size={12} className="text-ink-3" aria-hidden /> : null}
          {lane.hidden ? <EyeOff size={12} className="text-ink-3" aria-label="hidden" /> : null}
          <PersonLink
            identity={lane.identity}
            project={project}
            title={lane.name || lane.identity}
            className="truncate font-medium pointer-coarse:py-0.5"
          >
            <Name>{lane.name || lane.identity}</Name>
          </PersonLink>
        </span>
        <span className="truncate text-xs text-ink-3" title={lane.identity}>
          {[lane.name ? visible(lane.identity) : null, lane.watcher ? 'Roomwatch watcher' : kindName]
            .filter((word) => word !== null)
            .join(' · ')}
        </span>
      </div>
      <div className="relative border-b border-line py-1.5">
        <div className="relative h-5">
          {lane.stays.map((stay, index) => (
            <Bar key={stay.participation.sid} stays={lane.stays} index={index} stay={stay} span={span} />
          ))}
        </div>
        {orders.map((order) => (
          <div key={order} className="relative mt-0.5 h-3.5">
            {lane.stays.flatMap((stay) =>
              stay.tracks
                .filter((track) => kindOf(track).order === order && track.publishedAt !== null)
                .map((track) => <Strip key={track.sid} track={track} stay={stay} span={span} />),
            )}
          </div>
        ))}
      </div>
    </>
  );
});

/** Part of the lane, in percent from the left: `left` of a moment, `right` of the rest. */
const leftOf = ({ from, to }: Span, at: number) => `${(100 * (at - from)) / (to - from)}%`;
const rightOf = ({ from, to }: Span, at: number) => `${(100 * (to - at)) / (to - from)}%`;

function Bar({ stays, index, stay, span }: { stays: Stay[]; index: number; stay: Stay; span: Drawn }) {
  const { from, joinKnown, uncertainFrom, participation } = stay;
  const to = stay.to ?? span.to;
  const reason = participation.disconnectReason?.toLowerCase() ?? '';
  const End = TROUBLE.has(reason) ? TriangleAlert : FORCED.has(reason) ? UserX : null;
  const title = `${joinKnown ? `joined ${clockTime(from)}` : 'join time unknown'}, ${leaveWords(stay)}`;
  const why = reasonOf(participation);
  const label = stay.to === null ? 'still connected' : why === null ? '' : End ? `${why} ${clockTime(to)}` : why;
  const whole = label === '' ? null : labelPlace(stays, index, label, span);
  // Without space for the words, the icon.
  const where = whole ?? (End ? labelPlace(stays, index, '', span) : null);
  const text = (
    <>
      {End ? <End size={11} className="shrink-0 text-bad" aria-hidden /> : null}
      {whole ? <span className="truncate">{label}</span> : null}
    </>
  );
  return (
    <>
      <span
        title={title}
        className={cx(
          'absolute inset-y-0 flex min-w-1 items-center justify-end gap-1 overflow-hidden border-y border-line-strong bg-active text-[0.6875rem] text-ink-2',
          where === 'inside' && 'px-1',
          joinKnown ? 'rounded-l border-l' : 'border-l border-dashed',
          stay.to === null ? 'border-r border-dashed' : uncertainFrom === null && 'rounded-r border-r',
        )}
        style={place(span, from, uncertainFrom ?? to)}
      >
        {where === 'inside' ? text : null}
      </span>
      {uncertainFrom !== null ? (
        <span
          title={title}
          className="uncertain absolute inset-y-0 min-w-1 rounded-r border border-l-0 border-dashed border-control"
          style={place(span, uncertainFrom, to)}
        />
      ) : null}
      {where === 'after' || where === 'before' ? (
        <span
          className="pointer-events-none absolute inset-y-0 mx-1.5 flex items-center gap-1 text-[0.6875rem] whitespace-nowrap text-ink-2"
          style={where === 'after' ? { left: leftOf(span, to) } : { right: rightOf(span, from) }}
        >
          {text}
        </span>
      ) : null}
    </>
  );
}

function Strip({ track, stay, span }: { track: SessionTrack; stay: Stay; span: Span }) {
  const { icon: Icon, className, name } = kindOf(track);
  const from = track.publishedAt ?? stay.from;
  const to = track.unpublishedAt ?? stay.to ?? span.to;
  return (
    <span
      title={`${name}${track.name ? ` “${track.name}”` : ''}, ${clockTime(from)} to ${track.unpublishedAt ? clockTime(track.unpublishedAt) : 'the leave'}`}
      className={cx(
        'shape @container absolute inset-y-0 flex min-w-0.5 items-center overflow-hidden rounded-sm',
        className,
      )}
      style={place(span, from, Math.max(from, to))}
    >
      <Icon size={10} className="ml-0.5 hidden @min-[1rem]:block" aria-hidden />
    </span>
  );
}

export function RecordingLane({ egress, from, to }: { egress: Egress } & Span) {
  const start = egress.startedAt ?? from;
  return (
    <>
      <div className={LABEL}>
        <span className="flex items-center gap-1.5 font-medium">
          <CircleDot size={12} className="text-bad" aria-hidden /> {outputWords(egress)}
        </span>
        <span className="truncate text-xs text-ink-3" title={egress.error ?? undefined}>
          {words(egress.kind)}
          {egress.error ? ', failed' : ''}
        </span>
      </div>
      <div className="relative border-b border-line py-1.5">
        <div className="relative h-5">
          <span
            title={`${words(egress.status)}${egress.error ? `: ${egress.error}` : ''}`}
            className={cx(
              'shape @container absolute inset-y-0 flex min-w-1 items-center overflow-hidden rounded px-1.5 text-[0.6875rem]',
              // Red: running, as everywhere, or failed.
              egress.endedAt === null || egress.error ? 'bg-bad-soft text-bad' : 'bg-active text-ink-2',
            )}
            style={place({ from, to }, start, egress.endedAt ?? to)}
          >
            <span className="hidden truncate @min-[4rem]:block">{egress.error ?? words(egress.status)}</span>
          </span>
        </div>
      </div>
    </>
  );
}

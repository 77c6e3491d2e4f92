import type { Egress, SessionDetail, SessionTrack } from '@roomwatch/react';
import { Link, useNavigate } from '@tanstack/react-router';
import {
  Bot,
  ChevronLeft,
  ChevronRight,
  CircleDot,
  EyeOff,
  type LucideIcon,
  Mic,
  Phone,
  ScreenShare,
  Shapes,
  TriangleAlert,
  UserX,
  Video,
  ZoomIn,
  ZoomOut,
} from 'lucide-react';
import { memo, type PointerEvent, useMemo, useRef, useState } from 'react';
import { clockTime, duration, plural, shortDay, words } from '@/lib/format';
import { changesOf, type Lane, momentOf, type Stay, type Timeline, ticksOf, timelineOf } from '@/lib/timeline';
import { Badge } from '@/ui/badge';
import { buttonClass, IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';

const ZOOM_MAX = 64;
/** Labels of the axis that have room beside each other, on a desk and on a phone. */
const TICKS = { wide: 7, narrow: 3 };
const NARROW = matchMedia('(max-width: 47.99rem)');
const NAMES_MAX = 12;

/** Reasons that are nobody's wish, or somebody else's: they get a shape of their own. */
const TROUBLE = new Set([
  'join_failure',
  'connection_timeout',
  'signal_close',
  'state_mismatch',
  'media_failure',
  'server_shutdown',
  'migration',
]);
const FORCED = new Set(['participant_removed', 'room_deleted', 'duplicate_identity', 'user_rejected']);

const kinds: Record<string, { icon: LucideIcon; className: string; name: string; order: number }> = {
  microphone: { icon: Mic, className: 'bg-good-soft text-good', name: 'Microphone', order: 0 },
  camera: { icon: Video, className: 'bg-accent-soft text-accent', name: 'Camera', order: 1 },
  screen_share: { icon: ScreenShare, className: 'bg-warn-soft text-warn', name: 'Screen share', order: 2 },
};
const otherKind = { icon: Shapes, className: 'bg-active text-ink-2', name: 'Other track', order: 3 };
const kindOf = ({ source }: SessionTrack) => kinds[source] ?? otherKind;

/** "left, client initiated"; "left between 14:03:22 and 14:05:01, which no webhook told". */
export function leaveWords({ participation, to, uncertainFrom }: Stay): string {
  if (to === null) return 'still there';
  const reason = participation.disconnectReason ? `, ${words(participation.disconnectReason)}` : '';
  if (uncertainFrom !== null) return `left between ${clockTime(uncertainFrom)} and ${clockTime(to)}${reason}`;
  return participation.leftAt === null ? 'was there when the room ended' : `left${reason}`;
}

/**
 * The session drawn: a lane for everybody, a bar for each stay, and below it what they published. The drawing is for the
 * eye; the moment is moved by a slider and told in words, and the same facts stand in the table.
 */
export function SessionTimeline({ detail, now }: { detail: SessionDetail; now: number }) {
  const { session, egress } = detail;
  const timeline = useMemo(() => timelineOf(detail, now), [detail, now]);
  const changes = useMemo(() => changesOf(timeline), [timeline]);
  const { from, to, lanes } = timeline;
  const [zoom, setZoom] = useState(1);
  const [moment, setMoment] = useState<number | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const area = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const part = (at: number) => `${(100 * (at - from)) / (to - from)}%`;
  const ticks = ticksOf(from, to, (NARROW.matches ? TICKS.narrow : TICKS.wide) * zoom);
  const days = new Date(from).toDateString() !== new Date(to).toDateString();

  const timeAt = (event: { clientX: number }) => {
    const box = area.current?.getBoundingClientRect();
    if (!box || event.clientX < box.left) return null;
    return Math.round(Math.min(to, from + ((event.clientX - box.left) / box.width) * (to - from)));
  };
  const step = (direction: 1 | -1) => {
    const at = moment ?? (direction > 0 ? from - 1 : to + 1);
    const next = direction > 0 ? changes.find((one) => one > at) : changes.findLast((one) => one < at);
    if (next !== undefined) setMoment(next);
  };
  const events = (at: number) => ({ room: session.room, project: session.project, t: at });

  return (
    <div>
      <div className="flex flex-wrap items-center gap-x-2 gap-y-1.5 border-b border-line px-4 py-2">
        <IconButton label="Previous change" onClick={() => step(-1)}>
          <ChevronLeft size={15} />
        </IconButton>
        <IconButton label="Next change" onClick={() => step(1)}>
          <ChevronRight size={15} />
        </IconButton>
        <div className="min-w-0 max-md:order-last max-md:w-full md:flex-1">
          <Moment timeline={timeline} egress={egress} at={moment} />
        </div>
        <span className="ml-auto flex items-center gap-1">
          {moment !== null ? (
            <Link to="/events" search={events(moment)} className={buttonClass('outline', 'h-7')}>
              Events of this moment
            </Link>
          ) : null}
          <IconButton
            label="Zoom out"
            reason={zoom === 1 ? 'all of it is in view' : null}
            onClick={() => setZoom(Math.max(1, zoom / 2))}
          >
            <ZoomOut size={15} />
          </IconButton>
          <IconButton
            label="Zoom in"
            reason={zoom === ZOOM_MAX ? 'this is the closest' : null}
            onClick={() => setZoom(Math.min(ZOOM_MAX, zoom * 2))}
          >
            <ZoomIn size={15} />
          </IconButton>
        </span>
      </div>

      {/* Focusable, because a box that scrolls must scroll by keys too. */}
      <section className="relative max-h-[70dvh] overflow-auto overscroll-x-contain" aria-label="Timeline" tabIndex={0}>
        <div
          className="relative grid min-w-full grid-cols-[11rem_minmax(0,1fr)] max-md:grid-cols-[7rem_minmax(0,1fr)]"
          style={{ width: zoom === 1 ? undefined : `${zoom * 100}%` }}
          onPointerMove={(event: PointerEvent) => event.pointerType === 'mouse' && setPointed(timeAt(event))}
          onPointerLeave={() => setPointed(null)}
          onClick={(event) => {
            const at = timeAt(event);
            if (at !== null && event.target instanceof Element && !event.target.closest('input')) setMoment(at);
          }}
          onDoubleClick={(event) => {
            const at = timeAt(event);
            if (at !== null) navigate({ to: '/events', search: events(at) });
          }}
        >
          <div className="sticky top-0 left-0 z-20 h-8 border-r border-b border-line bg-surface" />
          <div ref={area} className="sticky top-0 z-10 h-8 border-b border-line bg-surface">
            {ticks.map((at) => (
              <span
                key={at}
                aria-hidden
                className="num absolute top-0 h-full border-l border-line pt-1.5 pl-1.5 text-[0.6875rem] whitespace-nowrap text-ink-3 last:max-w-16"
                style={{ left: part(at) }}
              >
                {days ? `${shortDay(at)} ` : ''}
                {clockTime(at).replace(/:00$/, '')}
              </span>
            ))}
            <input
              type="range"
              aria-label="Moment"
              aria-valuetext={moment === null ? 'none chosen' : momentText(timeline, moment)}
              min={from}
              max={to}
              step={Math.max(1, Math.round((to - from) / 400))}
              value={moment ?? from}
              onChange={(event) => setMoment(Number(event.target.value))}
              className="absolute inset-0 h-full w-full cursor-crosshair opacity-0"
            />
          </div>

          {egress.map((one) => (
            <RecordingLane key={one.egressId} egress={one} from={from} to={to} />
          ))}
          {lanes.map((lane) => (
            <ParticipantLane key={lane.identity} lane={lane} from={from} to={to} />
          ))}

          {/* Lines over everything: where the pointer is, and the moment that was chosen. */}
          <div
            aria-hidden
            className="pointer-events-none absolute inset-y-0 right-0 left-44 z-10 overflow-hidden max-md:left-28"
          >
            {pointed !== null ? (
              <span
                className="absolute inset-y-0 border-l border-dashed border-control"
                style={{ left: part(pointed) }}
              >
                <span
                  className={cx(
                    'num sticky top-9 rounded bg-solid px-1 text-[0.6875rem] whitespace-nowrap text-on-solid',
                    (pointed - from) / (to - from) > 0.9 ? '-ml-14' : 'ml-1',
                  )}
                >
                  {clockTime(pointed)}
                </span>
              </span>
            ) : null}
            {moment !== null ? (
              <span className="absolute inset-y-0 border-l-2 border-accent" style={{ left: part(moment) }} />
            ) : null}
          </div>
        </div>
      </section>
      <Legend />
    </div>
  );
}

/** What was true then, in one line. */
function momentText(timeline: Timeline, at: number): string {
  const { present, unsure, tracks } = momentOf(timeline, at);
  return [
    clockTime(at),
    plural(present.length, 'participant'),
    unsure.length > 0 ? `${unsure.length} uncertain` : null,
    plural(tracks.length, 'track'),
  ]
    .filter((word) => word !== null)
    .join(', ');
}

function Moment({ timeline, egress, at }: { timeline: Timeline; egress: Egress[]; at: number | null }) {
  if (at === null) {
    return <p className="text-ink-3">Click into the timeline, or step through it, to see who was there.</p>;
  }
  const { present, unsure, tracks } = momentOf(timeline, at);
  const recording = egress.some(
    ({ startedAt, endedAt }) => startedAt !== null && startedAt <= at && (endedAt === null || at < endedAt),
  );
  const names = present.slice(0, NAMES_MAX).map(({ name, identity }) => name || identity);
  if (present.length > NAMES_MAX) names.push(`${present.length - NAMES_MAX} more`);
  return (
    <p className="min-w-0">
      <span className="num font-medium">{clockTime(at)}</span>
      <span className="num text-ink-3"> · {duration(at - timeline.from)} in</span>
      <span className="text-ink-2">
        {' · '}
        {present.length === 0 ? 'nobody' : names.join(', ')}
        {unsure.length > 0 ? ` · perhaps ${unsure.map(({ name, identity }) => name || identity).join(', ')}` : ''}
        {tracks.length > 0 ? ` · ${plural(tracks.length, 'track')}` : ''}
        {recording ? ' · recording' : ''}
      </span>
    </p>
  );
}

interface Span {
  from: number;
  to: number;
}
const place = (span: Span, from: number, to: number) => ({
  left: `${(100 * (from - span.from)) / (span.to - span.from)}%`,
  width: `${(100 * (to - from)) / (span.to - span.from)}%`,
});

const LABEL =
  'sticky left-0 z-10 flex min-w-0 flex-col justify-center border-r border-b border-line bg-surface px-3 py-1.5';

const ParticipantLane = memo(function ParticipantLane({ lane, from, to }: { lane: Lane } & Span) {
  const span = { from, to };
  const orders = [...new Set(lane.stays.flatMap((stay) => stay.tracks.map((track) => kindOf(track).order)))].sort();
  const kindName = lane.kind === 'standard' ? null : lane.kind;
  return (
    <>
      <div className={LABEL}>
        <span className="flex items-center gap-1.5">
          {lane.kind === 'agent' ? <Bot size={12} className="text-ink-3" aria-hidden /> : null}
          {lane.kind === 'sip' ? <Phone size={12} className="text-ink-3" aria-hidden /> : null}
          {lane.hidden ? <EyeOff size={12} className="text-ink-3" aria-label="hidden" /> : null}
          <span className="truncate font-medium" title={lane.name || lane.identity}>
            {lane.name || lane.identity}
          </span>
        </span>
        <span className="truncate text-xs text-ink-3" title={lane.identity}>
          {[lane.name ? lane.identity : null, lane.watcher ? 'watching from here' : kindName]
            .filter((word) => word !== null)
            .join(' · ')}
        </span>
      </div>
      <div className="relative border-b border-line py-1.5">
        <div className="relative h-5">
          {lane.stays.map((stay) => (
            <Bar key={stay.participation.sid} stay={stay} span={span} />
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

function Bar({ stay, span }: { stay: Stay; span: Span }) {
  const { from, joinKnown, uncertainFrom, participation } = stay;
  const to = stay.to ?? span.to;
  const reason = participation.disconnectReason?.toLowerCase() ?? '';
  const End = TROUBLE.has(reason) ? TriangleAlert : FORCED.has(reason) ? UserX : null;
  const title = `${joinKnown ? `joined ${clockTime(from)}` : 'joined at a time nobody told'}, ${leaveWords(stay)}`;
  return (
    <>
      <span
        title={title}
        className={cx(
          '@container absolute inset-y-0 flex min-w-1 items-center overflow-hidden border-y border-line-strong bg-active',
          joinKnown ? 'rounded-l border-l' : 'border-l border-dashed',
          stay.to === null ? 'border-r border-dashed' : uncertainFrom === null && 'rounded-r border-r',
        )}
        style={place(span, from, uncertainFrom ?? to)}
      >
        <span className="hidden min-w-0 grow truncate px-1.5 text-[0.6875rem] text-ink-2 @min-[9rem]:block">
          {stay.to === null ? 'still there' : uncertainFrom !== null ? '' : reason ? words(reason) : ''}
        </span>
        {End ? <End size={11} className="mr-1 ml-auto shrink-0 text-bad" aria-hidden /> : null}
      </span>
      {uncertainFrom !== null ? (
        <span
          title={title}
          className="uncertain absolute inset-y-0 min-w-1 rounded-r border border-l-0 border-dashed border-control"
          style={place(span, uncertainFrom, to)}
        />
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
      title={`${name}${track.name ? ` “${track.name}”` : ''}, ${clockTime(from)} to ${track.unpublishedAt ? clockTime(track.unpublishedAt) : 'the end of the stay'}`}
      className={cx('@container absolute inset-y-0 flex min-w-0.5 items-center overflow-hidden rounded-sm', className)}
      style={place(span, from, Math.max(from, to))}
    >
      <Icon size={10} className="ml-0.5 hidden @min-[1rem]:block" aria-hidden />
    </span>
  );
}

function RecordingLane({ egress, from, to }: { egress: Egress } & Span) {
  const start = egress.startedAt ?? from;
  return (
    <>
      <div className={LABEL}>
        <span className="flex items-center gap-1.5 font-medium">
          <CircleDot size={12} className="text-bad" aria-hidden /> Recording
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
              '@container absolute inset-y-0 flex min-w-1 items-center overflow-hidden rounded px-1.5 text-[0.6875rem]',
              // Red is for a recording that runs, as everywhere, and for one that failed.
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

const Legend = () => (
  <ul aria-label="Legend" className="flex flex-wrap gap-x-4 gap-y-1 border-t border-line px-4 py-2 text-xs text-ink-2">
    {[...Object.values(kinds), otherKind].map(({ icon: Icon, className, name }) => (
      <li key={name} className="flex items-center gap-1.5">
        <span className={cx('flex h-3.5 w-6 items-center rounded-sm pl-0.5', className)} aria-hidden>
          <Icon size={10} />
        </span>
        {name}
      </li>
    ))}
    <li className="flex items-center gap-1.5">
      <span aria-hidden className="uncertain h-3.5 w-6 rounded-sm border border-dashed border-control" />
      Left some time in here
    </li>
    <li className="flex items-center gap-1.5">
      <TriangleAlert size={11} className="text-bad" aria-hidden /> Connection lost
    </li>
    <li className="flex items-center gap-1.5">
      <UserX size={11} className="text-bad" aria-hidden /> Removed or replaced
    </li>
    <li className="ml-auto text-ink-3 max-md:hidden">Double-click: the events of that moment</li>
  </ul>
);

/** A kind that is not a plain person, as a badge. */
export const KindBadge = ({ kind }: { kind: string }) => (kind === 'standard' ? null : <Badge>{kind}</Badge>);

import { replayRoom, replayRooms, useRoomwatch } from '@roomwatch/react';
import { useNavigate } from '@tanstack/react-router';
import { History } from 'lucide-react';
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { noteNames } from '@/events/names';
import { useShortcuts } from '@/shell/shortcuts';
import { Button } from '@/ui/button';
import { codeOf } from '@/ui/errors';
import { clockTime, fullTime, shortDay } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { setPlace } from '@/ui/place';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { SPANS } from '@/ui/when';
import { zoneName } from '@/ui/zone';
import { type Past, PastContext } from './context';
import { Controls } from './controls';
import { Corrections } from './corrections';
import type { PastFrameProps } from './frame-props';
import { PastAttention } from './past-attention';
import { PastFeed } from './past-feed';
import { Question } from './question';
import { following, isSpan, type Range, rangeOf, rangeText } from './range';
import { ReplayContext } from './replay-context';
import { Scrubber } from './scrubber';

/**
 * Pause after which the moment goes into the address: a slider and playback move it many times a second, and browsers
 * limit how often an address may change.
 */
const SETTLE_MS = 300;
const STEP_MS = 10_000;

const gone: Record<string, { title: string; text: string }> = {
  expired: {
    title: 'Nothing is kept from that long ago',
    text: 'The moment is before the oldest state that Roomwatch keeps. Sessions may go back further.',
  },
  unknown_epoch: {
    title: 'This link is from another database',
    text: 'The event log was restored or recreated, so its positions mean nothing here. Choose a time instead.',
  },
  ahead: { title: 'This event does not exist yet', text: 'The link is to a position after the newest event.' },
  future: { title: 'That moment has not come yet', text: 'The past ends now.' },
  junk: {
    title: 'This is not a moment',
    text: 'The address needs a time in unix milliseconds, or a cursor like 7f3a9c21-1042.',
  },
};

/** "29 Nov 14:03:11 UTC+1" */
const momentText = (at: number) => `${shortDay(at)} ${clockTime(at)} ${zoneName(at)}`;

/**
 * Frame around a page that shows the past: the banner that says so, the scrubber, and the state of the moment for the
 * page in it.
 */
export function PastFrame({ at, range: addressed, room, project, children }: PastFrameProps) {
  const { client } = useRoomwatch();
  const navigate = useNavigate();
  const replay = useMemo(() => {
    const more = { project, onPage: (events: Parameters<typeof noteNames>[0]) => noteNames(events, true) };
    return room === undefined ? replayRooms(client, more) : replayRoom(client, room, more);
  }, [client, room, project]);
  const view = useSyncExternalStore<ReturnType<typeof replay.getState>>(replay.subscribe, replay.getState);
  useEffect(() => () => replay.stop(), [replay]);
  const [playing, setPlaying] = useState(false);

  const opened = useRef(Date.now()).current;
  const wrong = !isMoment(at) ? 'junk' : typeof at === 'number' && at > Date.now() + 1_000 ? 'future' : null;
  const moment = view.moment || (typeof at === 'number' ? at : opened);
  // A relative range in the address stays relative, until the user zooms or leaves it.
  const [range, setRange] = useState<{ text: string | undefined; fixed: Range | null }>({
    text: addressed ?? (opened - moment < SPANS['1h'].millis ? '1h' : undefined),
    fixed: null,
  });
  const shown = range.fixed ?? rangeOf(range.text, typeof at === 'number' ? at : moment, opened);
  const inView = following(shown, moment);
  useEffect(() => {
    if (inView !== shown && view.moment > 0) setRange({ text: undefined, fixed: inView });
  }, [inView, shown, view.moment]);
  const rangeNow = range.fixed ? rangeText(range.fixed) : isSpan(range.text) ? range.text : rangeText(shown);

  // The address leads, unless it is the echo of a move on this page.
  const written = useRef<{ by: typeof replay; at: number | string }>(undefined);
  useEffect(() => {
    if (wrong || (written.current?.by === replay && written.current.at === at)) return;
    written.current = { by: replay, at };
    replay.seek(at);
  }, [at, wrong, replay]);
  const last = view.past.at(-1);
  const here = last && last.timestamp === view.moment ? last.cursor : view.moment;
  const settled = !view.loading && !view.error && view.moment > 0;
  useEffect(() => {
    if (!settled || (here === written.current?.at && rangeNow === addressed)) return;
    const timer = setTimeout(() => {
      written.current = { by: replay, at: here };
      void navigate({
        to: '.',
        search: (before) => ({ ...before, at: here, range: rangeNow }) as never,
        replace: true,
        resetScroll: false,
      });
    }, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [settled, here, rangeNow, addressed, navigate, replay]);

  useLayoutEffect(
    () => setPlace({ moment, search: { at: here || at, range: rangeNow } }),
    [moment, here, at, rangeNow],
  );
  useLayoutEffect(() => () => setPlace(null), []);

  const live = useCallback(
    () =>
      void navigate({
        to: '.',
        search: (before) => ({ ...before, at: undefined, range: undefined }) as never,
      }),
    [navigate],
  );
  const link = () => {
    const address = new URL(location.href);
    address.searchParams.set('at', String(here));
    address.searchParams.set('range', rangeNow);
    return address.href;
  };
  const moveBy = (millis: number) => replay.seek(Math.min(Date.now(), moment + millis));
  useShortcuts('Past', [
    { keys: ',', label: 'Previous event', run: () => replay.step(-1) },
    { keys: '.', label: 'Next event', run: () => replay.step(1) },
    { keys: '[', label: '10 seconds back', run: () => moveBy(-STEP_MS) },
    { keys: ']', label: '10 seconds on', run: () => moveBy(STEP_MS) },
    { keys: 'p', label: 'Play or pause', run: () => setPlaying(!playing) },
    { keys: 'l', label: 'Back to live', run: live },
  ]);

  const { state } = view;
  const past = useMemo<Past>(
    () => ({
      rooms: state && 'rooms' in state ? state.rooms : undefined,
      room: state && 'room' in state ? state.room : undefined,
      people: state && 'people' in state ? state.people.participants : undefined,
      Feed: PastFeed,
      Attention: PastAttention,
      Corrections,
    }),
    [state],
  );
  const code = wrong ?? codeOf(view.error);
  const lost = code === null ? undefined : gone[code];
  const liveButton = (
    <Button variant="solid" className="h-7" onClick={live}>
      Live
    </Button>
  );

  return (
    <div className="-m-2 rounded-xl border-2 border-warn-fill p-2">
      <section
        aria-label="The past"
        className="sticky top-13 z-20 -mx-2 -mt-2 mb-3 flex flex-wrap items-center justify-center gap-x-3 gap-y-1 rounded-t-[0.6rem] bg-warn-soft px-4 py-1.5 text-warn"
      >
        <History size={14} aria-hidden />
        {wrong ? null : (
          <strong role="status" className="num font-medium" title={fullTime(moment)}>
            As it was on {momentText(moment)}
          </strong>
        )}
        {!view.exact && view.at !== null ? (
          <span>This moment is not kept. You see the nearest: {momentText(view.at)}.</span>
        ) : null}
        {liveButton}
      </section>
      <Question
        room={room}
        onAsk={(asked, when) => {
          if (asked === null || asked === room) return replay.seek(when);
          void navigate({ to: '/rooms/$room', params: { room: asked }, search: { project, at: when } });
        }}
      />
      {lost ? (
        <div className="mt-3">
          <PageHeader title={room ?? 'The past'} />
          <Panel>
            <Empty title={lost.title} action={liveButton}>
              {lost.text}
            </Empty>
          </Panel>
        </div>
      ) : (
        <ReplayContext value={view}>
          <Panel flush className="my-3" label="Scrubber">
            <Controls
              replay={replay}
              view={view}
              moment={moment}
              range={inView}
              span={range.fixed ? undefined : range.text}
              playing={playing}
              onPlaying={setPlaying}
              onMoveBy={moveBy}
              link={link}
              onRange={(next) =>
                setRange(typeof next === 'string' ? { text: next, fixed: null } : { text: undefined, fixed: next })
              }
            />
            <Scrubber
              range={inView}
              moment={moment}
              room={room}
              project={project}
              loading={view.loading}
              onSeek={replay.seek}
              onRange={(next) => setRange({ text: undefined, fixed: next })}
            />
          </Panel>
          {view.error && !state ? (
            <Panel>
              <ErrorState error={view.error} onRetry={() => replay.seek(moment)} />
            </Panel>
          ) : state === undefined ? (
            <Panel flush>
              <Skeleton rows={8} />
            </Panel>
          ) : (
            <PastContext value={past}>{children}</PastContext>
          )}
        </ReplayContext>
      )}
    </div>
  );
}

const isMoment = (at: number | string) =>
  typeof at === 'number' ? at >= 0 && Number.isInteger(at) : /^[0-9a-f]{8}-\d{1,19}$/.test(at);

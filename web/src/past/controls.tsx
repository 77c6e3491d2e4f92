import type { Replay, ReplayState } from '@roomwatch/react';
import { ChevronLeft, ChevronRight, Link2, Pause, Play, RotateCcw, RotateCw, ZoomIn, ZoomOut } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { Button, IconButton } from '@/ui/button';
import { copyText } from '@/ui/clipboard';
import { Select } from '@/ui/field';
import { toast } from '@/ui/toast';
import { Toggle } from '@/ui/toggle';
import { SPAN_NAMES, SPANS } from '@/ui/when';
import { canZoom, type Range, zoomed } from './range';

const SPEEDS = [1, 2, 4, 8];
/** Time between two pictures while playing. */
const FRAME_MS = 200;
/** Silence that is skipped while playing, in milliseconds of the reader. */
const IDLE_MS = 2_000;
/** Time before the next event at which a skip ends. */
const LEAD_MS = 500;
const STEP_MS = 10_000;

/** Buttons of the scrubber: steps, playback, range and link. */
export function Controls({
  replay,
  view,
  moment,
  range,
  span,
  playing,
  onPlaying,
  onMoveBy,
  link,
  onRange,
}: {
  replay: Pick<Replay<unknown>, 'step' | 'advance'>;
  view: ReplayState<unknown>;
  moment: number;
  range: Range;
  /** Name of the range if it is relative. */
  span: string | undefined;
  playing: boolean;
  onPlaying: (on: boolean) => void;
  onMoveBy: (millis: number) => void;
  /** Returns the address of the moment and the range. */
  link: () => string;
  onRange: (range: Range | string) => void;
}) {
  const [speed, setSpeed] = useState(1);
  const [skipping, setSkipping] = useState(true);
  const latest = useRef({ view, speed, skipping, replay, onPlaying });
  latest.current = { view, speed, skipping, replay, onPlaying };

  useEffect(() => {
    if (!playing) return;
    let before = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      const { view: at, speed: times, skipping: skips, replay: log, onPlaying: stop } = latest.current;
      const passed = (now - before) * times;
      before = now;
      if (at.loading) return;
      const next = at.next[0]?.timestamp;
      const to = at.moment + passed;
      if (to >= Date.now() || (next === undefined && !at.hasLater && skips)) return stop(false);
      log.advance(skips && next !== undefined && next - to > IDLE_MS * times ? next - LEAD_MS * times : to);
    }, FRAME_MS);
    return () => clearInterval(timer);
  }, [playing]);

  return (
    <div className="flex flex-wrap items-center gap-x-1 gap-y-1.5 border-b border-line px-3 py-1.5">
      <IconButton
        label="Previous event"
        reason={view.hasEarlier ? null : 'No earlier event is kept'}
        onClick={() => replay.step(-1)}
      >
        <ChevronLeft size={15} />
      </IconButton>
      <IconButton label="10 seconds back" onClick={() => onMoveBy(-STEP_MS)}>
        <RotateCcw size={14} />
      </IconButton>
      <Button className="h-7 w-20" onClick={() => onPlaying(!playing)}>
        {playing ? <Pause size={13} aria-hidden /> : <Play size={13} aria-hidden />}
        {playing ? 'Pause' : 'Play'}
      </Button>
      <IconButton label="10 seconds on" onClick={() => onMoveBy(STEP_MS)}>
        <RotateCw size={14} />
      </IconButton>
      <IconButton
        label="Next event"
        reason={view.hasLater ? null : 'This is the newest event'}
        onClick={() => replay.step(1)}
      >
        <ChevronRight size={15} />
      </IconButton>
      <Select
        aria-label="Speed"
        className="mx-1"
        value={speed}
        onChange={(event) => setSpeed(Number(event.target.value))}
      >
        {SPEEDS.map((one) => (
          <option key={one} value={one}>
            {one}×
          </option>
        ))}
      </Select>
      <Toggle on={skipping} onChange={setSkipping}>
        Skip silence
      </Toggle>
      <span className="ml-auto flex flex-wrap items-center gap-1">
        <Select
          aria-label="Range"
          value={SPAN_NAMES.find((one) => one === span) ?? ''}
          onChange={(event) => event.target.value && onRange(event.target.value)}
        >
          <option value="">Around the moment</option>
          {SPAN_NAMES.map((one) => (
            <option key={one} value={one}>
              {SPANS[one].name}
            </option>
          ))}
        </Select>
        <IconButton
          label="Zoom out"
          reason={canZoom(range, 2) ? null : 'This is the longest range'}
          onClick={() => onRange(zoomed(range, 2, moment))}
        >
          <ZoomOut size={15} />
        </IconButton>
        <IconButton
          label="Zoom in"
          reason={canZoom(range, 0.5) ? null : 'This is the shortest range'}
          onClick={() => onRange(zoomed(range, 0.5, moment))}
        >
          <ZoomIn size={15} />
        </IconButton>
        <IconButton
          label="Copy link to this moment"
          onClick={async () => {
            if (await copyText(link())) toast.good('Link copied');
            else toast.bad(new Error('This browser does not allow copying'));
          }}
        >
          <Link2 size={15} />
        </IconButton>
      </span>
    </div>
  );
}

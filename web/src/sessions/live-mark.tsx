/** Mark of a live room: shape, word and colour. */
export const LiveMark = () => (
  <span className="inline-flex shrink-0 items-center gap-1.5 text-xs text-good">
    <span aria-hidden className="dot size-2 rounded-full bg-good-fill" /> live
  </span>
);

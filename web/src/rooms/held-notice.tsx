import { count } from '@/ui/format';
import type { RowOrder } from '@/ui/row-order';

/**
 * Notice that the table is held, with a button that releases it. It floats: a line in the table would move the rows.
 */
export function HeldNotice({ order, held, onRelease }: { order: RowOrder; held: boolean; onRelease: () => void }) {
  if (!held || (order.waiting === 0 && order.left.size === 0)) return null;
  const parts = [
    order.waiting > 0 ? `${count(order.waiting)} new` : null,
    order.left.size > 0 ? `${count(order.left.size)} gone` : null,
  ];
  return (
    <div className="pop-in pointer-events-none fixed inset-x-0 bottom-5 z-20 flex justify-center px-4 max-md:bottom-18 md:pl-56">
      <button
        type="button"
        className="num pointer-events-auto h-8 rounded-full bg-solid px-4 text-xs text-on-solid shadow-pop"
        onClick={onRelease}
      >
        {parts.filter(Boolean).join(', ')} · paused while you hover or focus ·{' '}
        <span className="font-medium underline">show now</span>
      </button>
    </div>
  );
}

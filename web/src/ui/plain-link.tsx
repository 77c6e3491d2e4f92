import { useRouter } from '@tanstack/react-router';
import type { ComponentProps } from 'react';
import { basePath } from '@/base';

/**
 * Link within the dashboard, for lists that are drawn many times a second. The router's own link computes its address
 * on each render and listens to every navigation: with fifty rows that is most of a frame. `href` starts below the
 * base.
 */
export function PlainLink({ href, ...props }: ComponentProps<'a'> & { href: string }) {
  const { history } = useRouter();
  const address = `${basePath}${href}`;
  return (
    <a
      href={address}
      onClick={(event) => {
        // The browser handles new tabs, downloads and the context menu.
        if (
          event.defaultPrevented ||
          event.button !== 0 ||
          event.metaKey ||
          event.ctrlKey ||
          event.shiftKey ||
          event.altKey
        )
          return;
        event.preventDefault();
        history.push(address);
      }}
      {...props}
    />
  );
}

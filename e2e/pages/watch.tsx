// The page of tests/react-room.test.ts: the hook as an app uses it, with StrictMode. It uses the token in the address. If
// there is none, it has a provider and tokens from Roomwatch.
import { RoomwatchProvider } from '@roomwatch/react';
import { useRoomConnection, type WatchedTrack } from '@roomwatch/react/livekit';
import { StrictMode, useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';

const query = new URLSearchParams(location.search);
const token = query.get('token');

function Media({ track }: { track: WatchedTrack }) {
  const element = useRef<HTMLVideoElement>(null);
  const { attach } = track;
  useEffect(() => (element.current ? attach(element.current) : undefined), [attach]);
  return <video ref={element} muted autoPlay playsInline width={160} height={96} data-sid={track.sid} />;
}

function Watch() {
  const [name, setName] = useState<string | null>('studio');
  Object.assign(window, { setName });
  const options = token === null ? {} : { url: query.get('url') ?? '', token };
  const { reconnect: _reconnect, ...state } = useRoomConnection(name, options);
  Object.assign(window, { state });
  const tracks = state.participants.flatMap((one) => one.tracks.filter(({ kind }) => kind === 'video'));
  return tracks.map((track) => <Media key={track.sid} track={track} />);
}

createRoot(document.body.appendChild(document.createElement('main'))).render(
  <StrictMode>
    {token === null ? (
      <RoomwatchProvider>
        <Watch />
      </RoomwatchProvider>
    ) : (
      <Watch />
    )}
  </StrictMode>,
);

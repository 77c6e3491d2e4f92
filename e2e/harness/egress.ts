import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An EgressInfo in the JSON of LiveKit's API. */
type Info = Record<string, any>;

/**
 * A double of LiveKit's Egress service, which cannot run here: it needs Redis, Chrome and GStreamer. It acts as
 * pkg/service/egress.go of livekit-server 1.13.5 does. Every other call is answered with an empty list.
 */
export class EgressDouble {
  readonly egress: Info[] = [];
  ingress: Info[] = [];
  /** Requests that started an egress. */
  readonly requests: [string, any][] = [];
  /** True while no egress service takes requests. */
  absent = false;
  private readonly server: Server;

  private constructor() {
    this.server = createServer(async (request, response) => {
      const [status, answer] = this.answer(request.url?.split('/').at(-1) ?? '', await bodyOf(request));
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  }

  static async start(): Promise<EgressDouble> {
    const double = new EgressDouble();
    await new Promise<void>((resolve) => double.server.listen(0, '127.0.0.1', resolve));
    return double;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** Moves an egress on, and returns LiveKit's webhook about it. */
  moves(id: string, status: string, more: object = {}): object {
    const info = this.egress.find(({ egress_id }) => egress_id === id);
    if (!info) throw new Error(`no egress ${id}`);
    info.status = status;
    const event = status === 'EGRESS_STARTING' ? 'started' : /ACTIVE|ENDING/.test(status) ? 'updated' : 'ended';
    const egressInfo = {
      egressId: id,
      roomId: info.room_id,
      roomName: info.room_name,
      ...(status === 'EGRESS_STARTING' ? {} : { status }),
      updatedAt: `${Date.now()}000000`,
      ...(status === 'EGRESS_ACTIVE' ? { startedAt: `${Date.now()}000000` } : {}),
      ...(event === 'ended' ? { endedAt: `${Date.now()}000000` } : {}),
      ...(info.web ? { web: { url: info.web.url } } : { roomComposite: { layout: 'speaker' } }),
      fileResults: [{ filename: `${info.room_name || 'page'}.mp4` }],
      ...more,
    };
    return { event: `egress_${event}`, egressInfo };
  }

  private answer(method: string, request: any): [number, any] {
    switch (method) {
      case 'ListEgress': {
        const ended = ['EGRESS_COMPLETE', 'EGRESS_FAILED', 'EGRESS_ABORTED', 'EGRESS_LIMIT_REACHED'];
        const items = this.egress.filter(
          (info) =>
            (!request.room_name || info.room_name === request.room_name) &&
            !(request.active && ended.includes(info.status)),
        );
        return [200, { items, next_page_token: null }];
      }
      case 'StartRoomCompositeEgress':
        return this.start('room_composite', request);
      case 'StartTrackEgress':
        return this.start('track', request);
      case 'StartWebEgress':
        return this.start('web', request);
      case 'StopEgress': {
        const info = this.egress.find(({ egress_id }) => egress_id === request.egress_id);
        if (!info) return [404, { code: 'not_found', msg: 'egress does not exist' }];
        if (!['EGRESS_STARTING', 'EGRESS_ACTIVE'].includes(info.status)) {
          const msg = `egress with status ${info.status} cannot be stopped`;
          return [412, { code: 'failed_precondition', msg }];
        }
        info.status = 'EGRESS_ENDING';
        return [200, info];
      }
      case 'ListIngress':
        return [200, { items: this.ingress, next_page_token: null }];
      case 'ListDispatch':
        return [200, { agent_dispatches: [] }];
      default:
        return [200, { rooms: [], participants: [] }];
    }
  }

  private start(kind: string, request: any): [number, any] {
    this.requests.push([kind, request]);
    if (this.absent) return [503, { code: 'unavailable', msg: 'no response from servers' }];
    const room = request.room_name ?? '';
    const info = {
      egress_id: `EG_${this.egress.length + 1}`,
      room_id: room && `RM_${room}`,
      room_name: room,
      status: 'EGRESS_STARTING',
      [kind]: request,
    };
    this.egress.push(info);
    return [200, info];
  }
}

async function bodyOf(request: IncomingMessage): Promise<any> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString() || '{}');
}

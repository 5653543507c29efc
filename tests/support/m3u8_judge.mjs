// What hls.js reads in media playlists: {"url", "text"} a line on standard input, what it found a line on standard output.
// node m3u8_judge.mjs PATH_OF_HLS.MJS
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { M3U8Parser } = await import(pathToFileURL(process.argv[2]));

for await (const line of createInterface({ input: process.stdin })) {
  const { url, text } = JSON.parse(line);
  const details = M3U8Parser.parseLevelPlaylist(text, url, 0, "main", 0, null);
  const { fragments, fragmentHint, partList } = details;
  console.log(
    JSON.stringify({
      error: details.playlistParsingError?.message ?? null,
      isLive: details.live,
      canBlockReload: details.canBlockReload,
      targetDuration: details.targetduration,
      partTarget: details.partTarget,
      partHoldBack: details.partHoldBack,
      canSkipUntil: details.canSkipUntil,
      skipped: details.skippedSegments,
      firstMsn: details.startSN,
      lastMsn: details.endSN,
      discontinuities: details.startCC,
      // A delta update leaves nulls where it skips.
      segments: fragments.filter(Boolean).map((fragment) => fragment.relurl),
      hasDates: fragments.every((fragment) => !fragment || fragment.programDateTime !== null),
      hasMaps: fragments.every((fragment) => !fragment || details.skippedSegments || fragment.initSegment !== null),
      openMsn: fragmentHint?.sn ?? null,
      parts: (partList ?? []).map((part) => [part.fragment.sn, part.index, part.relurl, part.duration, part.independent]),
      hint: details.preloadHint?.URI ?? null,
      reports: details.renditionReports?.length ?? 0,
    }),
  );
}

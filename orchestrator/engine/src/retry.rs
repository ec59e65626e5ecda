//! Retry policies: whether and when the next attempt of a `try` begins (dsl.md section 5 #5 to #9).
//!
//! Pure arithmetic over the policy; jitter is a hash, never drawn.

use std::time::Duration;

use sha2::Digest as _;
use tidemill_dsl::expr::{Arguments, Expr};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{Backoff, Retry, Try};
use tidemill_dsl::value::Value;

use crate::execution::{Attempts, Execution, Frame, State};
use crate::limits::{MAX_BACKOFF, MAX_DURATION};
use crate::machine::Machine;
use crate::scope::{Place, Scope, Site};
use crate::timeout::duration;

/// What a policy says about one failed attempt.
pub(crate) enum Verdict {
    /// No further attempt.
    No,
    /// At once.
    Now,
    /// At this instant.
    Delay(Time),
}

/// The deadline of an attempt that begins now.
pub(crate) fn attempt_deadline(
    machine: &Machine<'_>,
    site: &Site,
    attempt: &Try,
) -> Result<Option<Time>, Fault> {
    let Some(template) = attempt.retry.as_ref().and_then(|retry| retry.attempt_duration.as_ref()) else {
        return Ok(None);
    };
    Ok(Some(machine.now.plus(machine.duration(template, site, &[])?)))
}

/// `when` and not `exceptWhen`.
pub(crate) fn permitted(
    (when, except): (Option<&Expr>, Option<&Expr>),
    input: &Value,
    scope: &dyn Arguments,
) -> Result<bool, Fault> {
    let holds = |expr: &Expr| Ok::<bool, Fault>(expr.eval(input, scope)?.is_truthy());
    Ok(when.map_or(Ok(true), holds)? && !except.map_or(Ok(false), holds)?)
}

/// Whether the `try` of this site is run again, with the error bound.
pub(crate) fn judge(
    machine: &Machine<'_>,
    site: &Site,
    attempt: &Try,
    own: &[(&str, Value)],
) -> Result<Verdict, Fault> {
    let (Some(retry), Some(visit)) = (&attempt.retry, site.visit) else {
        return Ok(Verdict::No);
    };
    let Some(Frame { state: State::Try(Attempts { number, .. }), .. }) = machine.x.frame(visit) else {
        return Ok(Verdict::No);
    };
    let scope = Scope { own, ..Scope::of_task(machine.program, machine.x, Place::Body, site) };
    if !permitted((retry.when.as_ref(), retry.except_when.as_ref()), &site.input, &scope)? {
        return Ok(Verdict::No);
    }
    if let Some(count) = &retry.count {
        let count = count.eval(&site.input, &scope)?;
        let Some(count) = count.as_i64().filter(|count| *count >= 0) else {
            return Err(Fault::expression(format!("`limit.attempt.count` cannot be {count}")));
        };
        if i64::from(*number) > count {
            return Ok(Verdict::No);
        }
    }
    let delay = delay(retry, (machine.x, visit, *number), &site.input, &scope)?;
    let until = machine.now.plus(delay);
    if let Some(budget) = &retry.duration
        && until > site.started.plus(duration(budget, &site.input, &scope)?)
    {
        return Ok(Verdict::No);
    }
    Ok(if delay.is_zero() { Verdict::Now } else { Verdict::Delay(until) })
}

/// The delay before retry `number` (from 1): backoff, capped, plus jitter.
fn delay(
    retry: &Retry,
    (x, visit, number): (&Execution, Visit, u32),
    input: &Value,
    scope: &Scope<'_>,
) -> Result<Duration, Fault> {
    let base = retry.delay.as_ref().map_or(Ok(Duration::ZERO), |delay| duration(delay, input, scope))?;
    let grown = grown(retry.backoff, base, number);
    let Some((from, to)) = &retry.jitter else {
        return Ok(grown);
    };
    let (from, to) = (duration(from, input, scope)?, duration(to, input, scope)?);
    let range = to.saturating_sub(from).as_millis() as u64;
    let drawn = hash(x, visit, number) % (range + 1);
    Ok((grown + from + Duration::from_millis(drawn)).min(MAX_DURATION))
}

/// Constant d, linear d*n, exponential d*2^(n-1), capped at one hour unless d itself is longer.
fn grown(backoff: Backoff, base: Duration, number: u32) -> Duration {
    let factor = match backoff {
        Backoff::Constant => 1,
        Backoff::Linear => number,
        Backoff::Exponential => 1u32.checked_shl(number.saturating_sub(1)).unwrap_or(u32::MAX),
    };
    base.checked_mul(factor).unwrap_or(MAX_DURATION).min(base.max(MAX_BACKOFF))
}

fn hash(x: &Execution, visit: Visit, number: u32) -> u64 {
    let digest = sha2::Sha256::new()
        .chain_update(b"jitter")
        .chain_update(x.birth.id.0)
        .chain_update(visit.to_be_bytes())
        .chain_update(number.to_be_bytes())
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_as_the_backoff_says() {
        let check = |backoff, base: u64, expected: &[u64]| {
            for (at, seconds) in expected.iter().enumerate() {
                let grown = grown(backoff, Duration::from_secs(base), at as u32 + 1);
                assert_eq!(grown, Duration::from_secs(*seconds), "{backoff:?} {base} retry {}", at + 1);
            }
        };
        check(Backoff::Constant, 2, &[2, 2, 2]);
        check(Backoff::Linear, 2, &[2, 4, 6]);
        check(Backoff::Exponential, 2, &[2, 4, 8, 16]);
        check(Backoff::Exponential, 1800, &[1800, 3600, 3600]);
        check(Backoff::Linear, 7200, &[7200, 7200]);
        assert_eq!(grown(Backoff::Exponential, Duration::from_secs(1), 400), MAX_BACKOFF);
    }
}

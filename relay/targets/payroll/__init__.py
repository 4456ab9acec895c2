"""Payroll over HTTP: one line per record, mapped field by field, and a ledger so that none is paid twice."""

from relay.targets.payroll.target import PayrollHttp

__all__ = ["PayrollHttp"]

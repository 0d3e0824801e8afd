"""Operations: ledger, settings, partners, health and the API's own documents."""
